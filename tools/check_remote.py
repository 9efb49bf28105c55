"""Reads logs from real object servers and from the disk, and compares the answers.

    cargo xtask remote

Starts moto's S3 server and Microsoft's Azurite on free ports of this machine, uploads fixtures/logs, and runs `lehr inspect --json` on
objects and prefixes next to the same on the files. `gs://` speaks to moto as well, by the XML interface that Google's store shares with
S3: no emulator of Google's own serves that. Web addresses are read from a web server with and without ranges. Needs a `lehr` built with
`--features remote`, and Node's npm for Azurite.
"""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
from azure.storage.blob import BlobServiceClient

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "fixtures" / "logs"
AZURITE = "3.35.0"
HERE = "http://localhost" + ":{}"
# The account and key that Azurite's documentation gives to everybody.
ACCOUNT = ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
# What is read from both sides: objects by name, prefixes (several runs, files that belong together), compressed and Parquet.
CASES = ["wandb/run-known.wandb", "tensorboard", "hf", "megatron.log", "mlflow-db/mlflow.db", "trackio/annealing.db", "mlruns",
         "compressed", "wandb-parquet/0000.parquet", "wandb-export", "deepspeed", "lingua.jsonl", "bad-manifest-other-rate/a.csv"]


@contextmanager
def server(command, port):
    """A server that listens on the port, ended afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command[0]} ended"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files():
    return [(path, f"all/{path.relative_to(LOGS)}") for path in sorted(LOGS.rglob("*")) if path.is_file()]


def inspect(where, **environment):
    run = subprocess.run([sys.argv[1], "inspect", where, "--json"], cwd=ROOT, env={**os.environ, **environment},
                         capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def compare(root, environment):
    """Every case from an address and from the disk."""
    for case in CASES:
        local, remote = inspect(f"fixtures/logs/{case}"), inspect(f"{root}/all/{case}", **environment)
        assert local[0] in (0, 3), (case, local)
        there = tuple(part.replace(f"{root}/all", "fixtures/logs") if isinstance(part, str) else part for part in remote)
        assert there == local, f"{case}:\n{local}\n{there}"
        print(f"{root}/all/{case}: {len(json.loads(local[1])['runs'])} runs, the same as from the disk", flush=True)


def faults(cases, environment):
    for where, wanted in cases:
        code, _, error = inspect(where, **environment)
        assert code == 1 and wanted in error, (where, code, error)


def s3_and_gs():
    port = free_port()
    with server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        endpoint = HERE.format(port)
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="logs", ACL="public-read")
        for path, name in files():
            client.upload_file(str(path), "logs", name, ExtraArgs={"ACL": "public-read"})
        environment = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
                       "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        compare("s3://logs", environment)
        faults([("s3://logs/all/none.csv", "nothing is there"), ("s3://nowhere/a.csv", "s3://nowhere/a.csv"),
                ("s3://logs/all/bad-wandb-checksum.wandb", "byte 2811: the checksum of the record is wrong")], environment)
        with tempfile.TemporaryDirectory() as folder:
            account = Path(folder) / "account.json"
            account.write_text(json.dumps({"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "",
                                           "private_key": "", "private_key_id": ""}))
            environment = {"GOOGLE_SERVICE_ACCOUNT": str(account), "GOOGLE_ALLOW_HTTP": "true"}
            compare("gs://logs", environment)
            faults([("gs://logs/all/none.csv", "nothing is there")], environment)


def azure():
    # The emulator's address is not a setting.
    port = 10000
    folder = ROOT / "target/azurite"
    program = folder / "node_modules/.bin/azurite-blob"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), f"azurite@{AZURITE}"], check=True)
    with server([str(program), "--inMemoryPersistence", "--blobPort", str(port), "--skipApiVersionCheck"], port):
        client = BlobServiceClient.from_connection_string(
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT[0]};AccountKey={ACCOUNT[1]};"
            f"BlobEndpoint={HERE.format(port)}/{ACCOUNT[0]};")
        client.create_container("logs")
        for path, name in files():
            client.get_blob_client("logs", name).upload_blob(path.read_bytes())
        environment = {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURE_ALLOW_HTTP": "true"}
        compare("az://logs", environment)
        faults([("az://logs/all/none.csv", "nothing is there")], environment)


class Whole(http.server.SimpleHTTPRequestHandler):
    """A web server that knows no ranges."""

    def log_message(self, *_):
        pass


class Ranges(Whole):
    """A web server that does."""

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not wanted or not path.is_file():
            return super().do_GET()
        first, last = map(int, wanted.groups())
        whole = path.read_bytes()
        piece = whole[first:last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(piece)))
        self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(whole)}")
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        self.wfile.write(piece)


def web():
    for handler in (Ranges, Whole):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a, h=handler: h(*a, directory=str(LOGS))) as served:
            threading.Thread(target=served.serve_forever, daemon=True).start()
            root = HERE.format(served.server_address[1])
            found = inspect(f"{root}/lingua.jsonl")
            if handler is Ranges:
                assert found[0] == 0 and json.loads(found[1])["runs"][0]["points"] == 100, found
                faults([(f"{root}/none.csv", "none.csv"), (f"{root}/a.csv?signature=1", "with a query")], {})
            else:
                assert found[0] == 1 and "Range" in found[2], found
            served.shutdown()
    print("a web server with ranges is read, one without is refused by name")


if __name__ == "__main__":
    s3_and_gs()
    azure()
    web()
