//! Access control of the gNMI server: credentials and rate limits.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tonic::Status;
use tonic::metadata::MetadataMap;

use super::{GnmiOptions, lock};

/// Period over which a rate limit counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Credentials and the rate limit.
pub(super) struct Access {
    inner: Mutex<Rules>,
}

struct Rules {
    username: String,
    password: String,
    authentication: bool,
    local: Limit,
    tcp: Limit,
}

/// The rate limit of one server.
struct Limit {
    requests: Option<u32>,
    /// Times of the requests in the last minute.
    recent: VecDeque<Instant>,
    /// Total number of requests.
    total: u64,
}

impl Access {
    pub(super) fn new(options: &GnmiOptions) -> Self {
        Self {
            inner: Mutex::new(Rules {
                username: options.username.clone(),
                password: options.password.clone(),
                authentication: options.switches.metadata_authentication,
                local: Limit { requests: options.switches.rate_limit, recent: VecDeque::new(), total: 0 },
                tcp: Limit { requests: options.switches.tcp_rate_limit, recent: VecDeque::new(), total: 0 },
            }),
        }
    }

    pub(super) fn set_rate_limit(&self, limit: Option<u32>) {
        let mut rules = lock(&self.inner);
        rules.local.requests = limit;
        rules.tcp.requests = limit;
    }

    /// Returns the number of requests on the unix socket.
    pub(super) fn local_requests(&self) -> u64 {
        lock(&self.inner).local.total
    }

    pub(super) fn set_password(&self, password: &str) {
        password.clone_into(&mut lock(&self.inner).password);
    }

    pub(super) fn set_metadata_authentication(&self, asked: bool) {
        lock(&self.inner).authentication = asked;
    }

    /// Admits a request, or returns why not. A request with wrong credentials counts too.
    pub(super) fn admit(&self, metadata: &MetadataMap, tcp: bool) -> Result<(), Status> {
        let mut rules = lock(&self.inner);
        let limit = if tcp { &mut rules.tcp } else { &mut rules.local };
        limit.count(Instant::now())?;
        if rules.authentication && !rules.knows(metadata) {
            return Err(Status::unauthenticated("Authentication failed: user name or password missing or wrong"));
        }
        Ok(())
    }
}

impl Limit {
    fn count(&mut self, now: Instant) -> Result<(), Status> {
        self.total += 1;
        let Some(limit) = self.requests else { return Ok(()) };
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= limit as usize {
            return Err(Status::resource_exhausted(format!("Rate limit of {limit} requests per minute exceeded")));
        }
        self.recent.push_back(now);
        Ok(())
    }
}

impl Rules {
    fn knows(&self, metadata: &MetadataMap) -> bool {
        let value = |key| metadata.get(key).map(|value: &tonic::metadata::AsciiMetadataValue| value.as_bytes());
        value("username") == Some(self.username.as_bytes()) && value("password") == Some(self.password.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_the_limit_are_refused_until_a_minute_has_passed() {
        let mut limit = Limit { total: 0, requests: Some(2), recent: VecDeque::new() };
        let start = Instant::now();
        assert!(limit.count(start).is_ok() && limit.count(start).is_ok());
        let status = limit.count(start + WINDOW / 2).expect_err("the third");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert!(limit.count(start + WINDOW).is_ok());
    }
}
