//! Asking a service on this machine whether it is ready: for health checks where there is no program that speaks HTTP.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::PROBE_TIMEOUT;

/// Time to connect; the service is on this machine.
const CONNECT: Duration = Duration::from_secs(1);
/// Largest answer that is read.
const ANSWER: u64 = 1 << 16;

/// Why a service cannot be said to be ready.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Which port it took is not known here.
    #[error("http.bind has port 0: the service that runs took some other one; name its port with --bind")]
    NoPort,
    /// Nothing answers.
    #[error("no answer from {addr}")]
    Silent {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Something else than a service answers.
    #[error("{addr} does not answer in HTTP")]
    Foreign {
        /// Where.
        addr: SocketAddr,
    },
    /// It answers that it is not ready.
    #[error("not ready ({status}): {said}")]
    NotReady {
        /// The status of the answer.
        status: u16,
        /// The answer.
        said: String,
    },
}

/// What `/readyz` of the service that listens on `bind` says, when it says that it is ready.
///
/// Blocks for a few seconds at most.
pub fn ask(bind: SocketAddr) -> Result<String, AskError> {
    let addr = SocketAddr::new(own(bind.ip()), bind.port());
    if addr.port() == 0 {
        return Err(AskError::NoPort);
    }
    let answer = exchange(addr).map_err(|source| AskError::Silent { addr, source })?;
    let (status, said) = parse(&answer).ok_or(AskError::Foreign { addr })?;
    if status == 200 { Ok(said) } else { Err(AskError::NotReady { status, said }) }
}

/// What listens on every address is reached at the machine's own.
fn own(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn exchange(addr: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&addr, CONNECT)?;
    // The service itself waits that long for what it depends on.
    let patience = PROBE_TIMEOUT + CONNECT;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body of an answer of HTTP/1.
fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Asks something that answers every request with `answer`.
    fn asked(answer: &'static str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request[..read].to_vec()).unwrap()
        });
        let result = ask(SocketAddr::from(([0, 0, 0, 0], port))).map_err(|error| error.to_string());
        assert!(served.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\nhost: localhost\r\n"));
        result
    }

    #[test]
    fn the_answer_decides() {
        let ready = asked("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"ready\":true}");
        assert_eq!(ready, Ok("{\"ready\":true}".to_owned()));
        let not = asked("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false}");
        assert_eq!(not, Err("not ready (503): {\"ready\":false}".to_owned()));
        assert!(asked("SSH-2.0-x\r\n").unwrap_err().ends_with("does not answer in HTTP"));
        assert!(asked("").unwrap_err().ends_with("does not answer in HTTP"));
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(ask(free).unwrap_err().to_string(), format!("no answer from {free}"));
        assert!(matches!(ask(SocketAddr::from(([0, 0, 0, 0], 0))), Err(AskError::NoPort)));
    }
}
