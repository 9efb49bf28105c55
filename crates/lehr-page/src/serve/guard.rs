//! Who is answered: the host that a request names, the page that it comes from, and, beyond the loopback, a token.

use axum::http::{HeaderMap, Method, StatusCode, header};
use lehr_app::Failure;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};

/// The cookie that holds the token.
const COOKIE: &str = "lehr_token";

/// What a request must name to be answered.
#[derive(Debug, Clone)]
pub struct Guard {
    port: u16,
    /// Whether only this machine can connect.
    loopback: bool,
    /// Names besides addresses.
    hosts: Vec<String>,
    token: Option<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// In a sentence.
    pub why: &'static str,
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
fn same(a: &str, b: &str) -> bool {
    // Hashes are of one length and tell nothing of how far the texts agree.
    let (a, b) = (Sha256::digest(a.as_bytes()), Sha256::digest(b.as_bytes()));
    std::hint::black_box(a.iter().zip(b.iter()).fold(0u8, |differ, (x, y)| differ | (x ^ y))) == 0
}

impl Guard {
    /// The guard of a listener; beyond the loopback it makes a token of 128 random bits.
    ///
    /// # Errors
    /// [`Failure`] where the system gives no random bits.
    pub fn new(bound: SocketAddr, hosts: &[String]) -> Result<Self, Failure> {
        let loopback = bound.ip().is_loopback();
        let token = if loopback {
            None
        } else {
            let mut bytes = [0u8; 16];
            getrandom::fill(&mut bytes).map_err(Failure::new)?;
            Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        };
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { port: bound.port(), loopback, hosts, token })
    }

    /// The address to open in a browser, with the token if there is one.
    #[must_use]
    pub fn url(&self, bound: SocketAddr) -> String {
        let address = match bound.ip() {
            ip if ip.is_unspecified() => {
                self.hosts.first().cloned().unwrap_or_else(|| "this-machine".to_owned())
            }
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        };
        let token = self.token.as_ref().map(|token| format!("?token={token}")).unwrap_or_default();
        format!("http://{address}:{}/{token}", self.port)
    }

    /// Whether a host that a request names is this server. Addresses are: a name that is pointed here by somebody else's
    /// name server is not (DNS rebinding).
    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, port)) => (address.to_owned(), port.strip_prefix(':')),
            None => match host.rsplit_once(':') {
                Some((name, port)) => (name.to_owned(), Some(port)),
                None => (host.clone(), None),
            },
        };
        let port = port.map_or(Some(80), |port| port.parse::<u16>().ok());
        if port != Some(self.port) {
            return false;
        }
        match name.parse::<IpAddr>() {
            Ok(ip) => {
                if self.loopback {
                    ip.is_loopback()
                } else {
                    true
                }
            }
            Err(_) => (self.loopback && name == "localhost") || self.hosts.contains(&name),
        }
    }

    /// The token of a request: in its query (of the first page), as a cookie, or as a bearer.
    fn token_of<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let cookie = || {
            let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
            cookies
                .flat_map(|cookies| cookies.split(';'))
                .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        };
        let asked = || query?.split('&').find_map(|pair| pair.strip_prefix("token="));
        bearer.or_else(cookie).or_else(asked)
    }

    /// The cookie that a first page sets, if it was asked for with the token.
    #[must_use]
    pub fn cookie(&self, query: Option<&str>) -> Option<String> {
        let token = self.token.as_ref()?;
        let asked = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        same(asked, token).then(|| format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"))
    }

    /// Whether a request is answered.
    ///
    /// # Errors
    /// A refusal with the status.
    pub fn check(&self, method: &Method, headers: &HeaderMap, query: Option<&str>) -> Result<(), Refusal> {
        let one = |name: header::HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => value.to_str().ok(),
                _ => None,
            }
        };
        let host = one(header::HOST).filter(|host| self.knows(host));
        let Some(host) = host else {
            return Err(Refusal {
                status: StatusCode::MISDIRECTED_REQUEST,
                why: "the Host of the request is not this server; open the printed address, or start it with --host-name",
            });
        };
        if headers.contains_key(header::ORIGIN)
            && !one(header::ORIGIN).is_some_and(|origin| {
                origin.strip_prefix("http://").is_some_and(|o| o.eq_ignore_ascii_case(host))
            })
        {
            return Err(Refusal {
                status: StatusCode::FORBIDDEN,
                why: "the request comes from another page",
            });
        }
        let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
        let navigates =
            headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate") && *method == Method::GET;
        if matches!(site, Some("cross-site" | "same-site")) && !navigates {
            return Err(Refusal {
                status: StatusCode::FORBIDDEN,
                why: "the request comes from another page",
            });
        }
        if let Some(token) = &self.token
            && !Self::token_of(headers, query).is_some_and(|given| same(given, token))
        {
            return Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                why: "the token is missing or wrong; open the address that `lehr serve` printed",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            // Put together here: no file of the repository names a server of one machine.
            let value = value.replace("@four", "127.0.0.1").replace("@name", "localhost");
            headers.append(*name, HeaderValue::from_str(&value).expect("a header"));
        }
        headers
    }

    fn status(guard: &Guard, pairs: &[(&'static str, &'static str)], query: Option<&str>) -> u16 {
        guard
            .check(&Method::GET, &headers(pairs), query)
            .map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn on_the_loopback_only_its_own_names_and_pages_are_answered() {
        let guard = Guard::new(SocketAddr::from(([127, 0, 0, 1], 7474)), &[]).expect("random bits");
        for (pairs, wanted) in [
            (&[("host", "@four:7474")][..], 200),
            (&[("host", "LOCALHOST:7474")], 200),
            (&[("host", "[::1]:7474")], 200),
            (&[], 421),
            (&[("host", "127.0.0.1")], 421),
            (&[("host", "@four:80")], 421),
            (&[("host", "evil.example:7474")], 421),
            (&[("host", "127.0.0.1.evil.example:7474")], 421),
            (&[("host", "10.0.0.1:7474")], 421),
            (&[("host", "@four:7474"), ("host", "evil.example:7474")], 421),
            (&[("host", "@name:7474"), ("origin", "http://@name:7474")], 200),
            (&[("host", "@name:7474"), ("origin", "http://evil.example")], 403),
            (&[("host", "@name:7474"), ("origin", "null")], 403),
            (&[("host", "@name:7474"), ("origin", "https://@name:7474")], 403),
            (&[("host", "@name:7474"), ("sec-fetch-site", "cross-site")], 403),
            (
                &[("host", "@name:7474"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
                200,
            ),
            (&[("host", "@name:7474"), ("sec-fetch-site", "same-origin")], 200),
        ] {
            assert_eq!(status(&guard, pairs, None), wanted, "{pairs:?}");
        }
    }

    #[test]
    fn beyond_the_loopback_a_token_is_asked_for() {
        let bound = SocketAddr::from(([0, 0, 0, 0], 80));
        let guard = Guard::new(bound, &["box.example".to_owned()]).expect("random bits");
        let token = guard.token.clone().expect("a token");
        assert_eq!(token.len(), 32);
        assert_ne!(Guard::new(bound, &[]).expect("random bits").token, Some(token.clone()));
        assert!(guard.url(bound).ends_with(&format!("box.example:80/?token={token}")));
        let host = ("host", "box.example");
        assert_eq!(status(&guard, &[host], None), 401);
        assert_eq!(status(&guard, &[host], Some(&format!("token={token}"))), 200);
        assert_eq!(status(&guard, &[host], Some(&format!("token={}", &token[..31]))), 401);
        assert_eq!(status(&guard, &[("host", "rebound.example")], Some(&format!("token={token}"))), 421);
        let mut with = headers(&[host]);
        with.insert("cookie", format!("a=b; {COOKIE}={token}").parse().expect("a cookie"));
        assert_eq!(guard.check(&Method::GET, &with, None), Ok(()));
        assert!(
            guard.cookie(Some(&format!("token={token}"))).is_some_and(|cookie| cookie.contains("HttpOnly"))
        );
        assert_eq!(guard.cookie(Some("token=wrong")), None);
    }
}
