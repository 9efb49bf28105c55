//! `lehr serve`, spoken to byte by byte: what a browser would not send is refused.

use crate::support::{at, command, lehr};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A server that ends with the test.
struct Server {
    child: Child,
    url: String,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    fn start(words: &[&str]) -> Self {
        let mut child = command()
            .arg("serve")
            .args(words)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self::at(child, &line)
    }

    /// The page of a watch, which says its address on stderr.
    fn watch(words: &[&str]) -> Self {
        let mut child = command()
            .arg("watch")
            .args(words)
            .args(["--page", "--port", "0", "--every", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("open ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended without an address");
        }
        // What it says later must go somewhere.
        std::thread::spawn(move || drop(said.read_to_end(&mut Vec::new())));
        Self::at(child, &line)
    }

    fn at(child: Child, line: &str) -> Self {
        let url = line.split_whitespace().nth(1).unwrap_or_else(|| panic!("no address: {line}")).to_owned();
        let port = url.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
        Self { child, url, port }
    }

    /// Sends a request as it stands; the whole answer.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A server that refuses a body may close while it is sent.
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let host = ["localhost", &self.port.to_string()].join(":");
        let length = body.len();
        let answer = self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ));
        let (head, body) =
            answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer}"));
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.ask("GET", path, "", "");
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
    }
}

#[test]
fn a_watch_serves_a_page_numbers_and_the_document_of_the_command() {
    // A name that would be code if a page let it, and that would end a label.
    let log = at("watched.csv");
    let hostile = "<script>alert(1)</script>\"} 1";
    let rows = std::fs::read_to_string(crate::support::root().join("fixtures/runs/curves.csv")).unwrap();
    let mut text = "run_id,step,lr,loss\n".to_owned();
    for row in rows.lines().filter(|row| row.starts_with("sim-peak2e-3-T20000-constant,")) {
        let cells: Vec<&str> = row.split(',').collect();
        if cells[2].parse::<u64>().unwrap() <= 9_000 {
            text += &format!("\"{}\",{},{},{}\n", hostile.replace('"', "\"\""), cells[2], cells[3], cells[4]);
        }
    }
    std::fs::write(&log, text).unwrap();
    let server = Server::watch(&[&log, "--fit", &at("fit.json"), "--steps", "20k"]);
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let document = loop {
        let (status, _, body) = server.ask("GET", "/api/v1/watch", "", "");
        if status == 200 {
            break serde_json::from_str::<Value>(&body).unwrap();
        }
        assert_eq!(status, 503);
        assert!(std::time::Instant::now() < until, "the jobs were never looked at");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (&document["schema"], &document["jobs"][0]["update"]),
        (&"lehr.watch/1".into(), &9_000.into())
    );
    // The same numbers as the command's.
    let once = lehr(&["watch", &log, "--fit", &at("fit.json"), "--steps", "20k", "--once", "--json"])
        .expect(0)
        .json();
    assert_eq!(document["jobs"], once["jobs"]);
    let (status, head, page) = server.ask("GET", "/", "", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"), "{page}");
    assert!(page.contains("Its annealing best begins at update "), "{page}");
    let (status, head, metrics) = server.ask("GET", "/metrics", "", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let label = "{job=\"<script>alert(1)</script>\\\"} 1\"}";
    assert!(metrics.contains(&format!("lehr_job_update{label} 9000\n")), "{metrics}");
    // Who names another host, another way or another path is refused.
    assert_eq!(server.ask("POST", "/metrics", "", "").0, 405);
    assert_eq!(server.ask("GET", "/etc/passwd", "", "").0, 404);
    let foreign = server.raw("GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
}

#[test]
fn the_server_answers_as_the_command_does() {
    let fit = at("fit.json");
    let server = Server::start(&[&fit]);
    let target = ["--peak-lr", "2e-3", "--steps", "20k", "--json", "--accept-caveats"];
    let recommended = lehr(&[&["recommend", &fit][..], &target].concat()).expect(0).json();
    assert_eq!(server.get("/api/v1/recommend?peak_lr=2e-3&steps=20000"), (200, recommended));
    let forecast = lehr(&[&["forecast", &fit, "--ratio", "0.3", "--shape", "1-sqrt"][..], &target].concat())
        .expect(0)
        .json();
    assert_eq!(
        server.get("/api/v1/forecast?peak_lr=2e-3&steps=20000&ratio=0.3&shape=1-sqrt"),
        (200, forecast)
    );
}

#[test]
fn every_answer_carries_a_policy_and_strangers_are_refused() {
    let server = Server::start(&[&at("fit.json")]);
    for path in ["/", "/explorer.js", "/api/v1/data", "/nothing"] {
        let (_, head, _) = server.ask("GET", path, "", "");
        assert!(
            head.contains("content-security-policy: default-src 'none'; script-src 'self';"),
            "{path}: {head}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{path}");
        assert!(!head.contains("access-control-"), "{path}: {head}");
        assert!(!head.contains("unsafe-inline"), "{path}");
    }
    let page = server.ask("GET", "/", "", "").2;
    for inline in
        ["<script>", "style=", "onclick=", "onload=", "onerror=", "onchange=", "oninput=", "javascript:"]
    {
        assert!(!page.contains(inline), "{inline}");
    }
    let status = |request: &str| server.raw(request).split_whitespace().nth(1).unwrap_or_default().to_owned();
    assert_eq!(status("GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"), "421");
    let (refused, ..) = server.ask("POST", "/api/v1/fits", "Origin: http://evil.example\r\n", "{}");
    assert_eq!(refused, 403);
    let (refused, ..) = server.ask("GET", "/api/v1/data", "Sec-Fetch-Site: cross-site\r\n", "");
    assert_eq!(refused, 403);
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/etc/passwd", "/api", "/api/v1/", "/assets/", "//"]
    {
        assert_eq!(server.ask("GET", path, "", "").0, 404, "{path}");
    }
    for (method, path) in
        [("POST", "/"), ("DELETE", "/api/v1/data"), ("GET", "/api/v1/fits"), ("PUT", "/api/v1/files")]
    {
        assert_eq!(server.ask(method, path, "", "").0, 405, "{method} {path}");
    }
}

#[test]
fn answers_are_documents_of_their_schemas() {
    let server = Server::start(&[&at("fit.json")]);
    let target = "peak_lr=2e-3&steps=20000";
    let pin = "pin=wsd:peak%3D2e-3,total%3D20k,warmup%3D100,ratio%3D0.5";
    for (question, schema) in [
        (format!("explore?{target}&{pin}"), "lehr.explore/2"),
        (format!("forecast?{target}"), "lehr.forecast/2"),
        (format!("recommend?{target}"), "lehr.recommend/2"),
        (format!("export?{target}&to=hf"), "lehr.export/1"),
        ("fit".to_owned(), "lehr.fit/5"),
    ] {
        let (status, document) = server.get(&format!("/api/v1/{question}"));
        assert_eq!((status, &document["schema"]), (200, &schema.into()), "{document}");
        let wrong = crate::contract::against_its_schema(&document);
        assert!(wrong.is_empty(), "{question}: {wrong:#?}");
    }
}

#[test]
fn questions_that_do_not_fit_together_are_refused_in_words() {
    let server = Server::start(&[&at("fit.json"), "--most-steps", "50k"]);
    for (query, status, words) in [
        ("steps=60000", 400, "beyond the 50000 updates"),
        ("steps=0", 400, "not a whole number of at least 1"),
        ("ratio=2", 400, "above 1"),
        ("peak_lr=-1", 400, "not a number above 0"),
        ("shape=round", 400, "round"),
        ("stepz=1", 400, "'stepz' is not known"),
        ("steps=1&steps=1", 400, "twice"),
        ("pin=rubbish", 400, "rubbish"),
        ("data=missing", 404, "no fit 'missing'"),
        ("warmup=30000&steps=20000", 422, ""),
    ] {
        let (found, document) = server.get(&format!("/api/v1/explore?{query}"));
        let error = document["error"].as_str().unwrap_or_default();
        // A target that makes no schedule is a fault of the request, too.
        assert!(found == status || (status == 422 && found == 400), "{query}: {found} {document}");
        assert!(error.contains(words) && !error.contains("[["), "{query}: {error}");
    }
    for body in [
        "",
        "[]",
        "{\"runz\": []}",
        "{\"runs\": []}",
        "{\"law\": \"none\"}",
        "{\"data\": \"start\"}",
        "{\"tray\": \"tray9\"}",
    ] {
        let (status, _, answer) = server.ask("POST", "/api/v1/fits", "", body);
        assert!((400..=422).contains(&status), "{body}: {status} {answer}");
    }
    let (status, _, answer) = server.ask("POST", "/api/v1/files?name=../x", "", "a");
    assert_eq!(status, 400, "{answer}");
    let big = "x".repeat(300 << 10);
    assert_eq!(server.ask("POST", "/api/v1/fits", "", &big).0, 413);
}

#[test]
fn dropped_logs_are_fitted_line_by_line() {
    let server = Server::start(&[&at("fit.json")]);
    let mut tray = String::new();
    let curves = std::fs::read_to_string(crate::support::root().join("fixtures/runs/curves.csv")).unwrap();
    let manifest =
        std::fs::read_to_string(crate::support::root().join("fixtures/runs/manifest.csv")).unwrap();
    for (name, text) in [("runs/curves.csv", &curves), ("runs/manifest.csv", &manifest)] {
        let (status, _, body) = server.ask("POST", &format!("/api/v1/files?name={name}{tray}"), "", text);
        assert_eq!(status, 200, "{body}");
        let document: Value = serde_json::from_str(&body).unwrap();
        tray = format!("&tray={}", document["tray"].as_str().unwrap());
    }
    let id = tray.trim_start_matches("&tray=");
    let (status, _, body) = server.ask("POST", "/api/v1/fits", "", &format!("{{\"tray\": \"{id}\"}}"));
    assert_eq!(status, 200, "{body}");
    let events: Vec<Value> =
        body.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    let done = events.iter().find(|event| event["event"] == "done").unwrap_or_else(|| panic!("{body}"));
    let (status, data) = server.get(&format!("/api/v1/data?data={}", done["data"].as_str().unwrap()));
    assert_eq!(status, 200);
    assert_eq!(data["runs"].as_array().unwrap().len(), manifest.lines().count() - 1);
    assert_eq!(data["name"], "dropped files");
}

#[test]
fn beyond_this_machine_the_token_of_the_printed_address_is_asked_for() {
    let server = Server::start(&[&at("fit.json"), "--listen", "0.0.0.0", "--host-name", "localhost"]);
    let token = server
        .url
        .split_once("?token=")
        .map(|(_, token)| token.to_owned())
        .unwrap_or_else(|| panic!("{}", server.url));
    assert_eq!(server.ask("GET", "/api/v1/data", "", "").0, 401);
    assert_eq!(server.ask("GET", "/api/v1/data", &format!("Authorization: Bearer {token}\r\n"), "").0, 200);
    let (status, head, _) = server.ask("GET", &format!("/?token={token}"), "", "");
    assert_eq!(status, 303);
    assert!(head.contains("httponly") && head.contains("samesite=strict"), "{head}");
    assert_eq!(server.ask("GET", "/api/v1/data", &format!("Cookie: lehr_token={token}\r\n"), "").0, 200);
    assert_eq!(server.ask("GET", "/api/v1/data", "Cookie: lehr_token=00\r\n", "").0, 401);
}
