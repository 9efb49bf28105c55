"""Reads logs from a real S3 server and from the disk, and compares the answers.

    cargo xtask remote

Starts moto's S3 server on a free port of this machine, uploads fixtures/logs, and runs `lehr inspect --json` on objects and
prefixes next to the same on the files. Needs a `lehr` built with `--features remote`.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "fixtures" / "logs"
# What is read from both sides: objects by name, prefixes (several runs, files that belong together), compressed and Parquet.
CASES = ["wandb/run-known.wandb", "tensorboard", "hf", "megatron.log", "mlflow-db/mlflow.db", "trackio/annealing.db", "mlruns",
         "compressed", "wandb-parquet/0000.parquet", "wandb-export", "deepspeed", "lingua.jsonl", "bad-manifest-other-rate/a.csv"]


def main():
    lehr = sys.argv[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "the server ended"
            time.sleep(0.2)
        endpoint = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="logs")
        for path in sorted(LOGS.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), "logs", f"all/{path.relative_to(LOGS)}")
        environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
                       "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

        def inspect(where):
            run = subprocess.run([lehr, "inspect", where, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True)
            return run.returncode, run.stdout, run.stderr

        for case in CASES:
            local, remote = inspect(f"fixtures/logs/{case}"), inspect(f"s3://logs/all/{case}")
            assert local[0] in (0, 3), (case, local)
            there = tuple(part.replace("s3://logs/all", "fixtures/logs") if isinstance(part, str) else part for part in remote)
            assert there == local, f"{case}:\n{local}\n{there}"
            print(f"{case}: {len(json.loads(local[1])['runs'])} runs, the same from s3:// as from the disk", flush=True)
        for where, wanted in [("s3://logs/all/none.csv", "nothing is there"), ("s3://nowhere/a.csv", "s3://nowhere/a.csv"),
                              ("s3://logs/all/bad-wandb-checksum.wandb", "byte 2811: the checksum of the record is wrong")]:
            code, _, error = inspect(where)
            assert code == 1 and wanted in error, (where, code, error)
        # A plain web server is read through https:// and http:// alike.
        client.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::logs/*"}]}))
        web = inspect(f"{endpoint}/logs/all/lingua.jsonl")
        assert web[0] == 0 and json.loads(web[1])["runs"][0]["points"] == 100, web
        print("faults are named; http:// is read")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
