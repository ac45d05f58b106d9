//! What is counted of each request. Looking a metric up by its labels takes longer than all else that is done for a request
//! that is refused, so what was found is kept.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::recorder;

/// The metrics of the requests to one service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Requests(Arc<Inner>);

struct Inner {
    service: &'static str,
    in_flight: Gauge,
    /// By the template of the route; there are only so many.
    routes: RwLock<HashMap<String, Vec<Answers>>>,
}

/// Requests to one route by one method.
struct Answers {
    method: &'static str,
    times: Histogram,
    by_status: Vec<(u16, Counter)>,
}

impl Requests {
    pub(crate) fn new(service: &'static str) -> Self {
        recorder();
        let in_flight = gauge!("http_requests_in_flight", "service" => service);
        Self(Arc::new(Inner { service, in_flight, routes: RwLock::default() }))
    }

    /// One has begun.
    pub(crate) fn begun(&self) {
        self.0.in_flight.increment(1.0);
    }

    /// One that had begun has ended, after so long.
    pub(crate) fn ended(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.0.in_flight.decrement(1.0);
        self.answered(method, route, status, took);
    }

    /// One was answered, after so long.
    pub(crate) fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        if !self.count(method, route, status, took) {
            self.know(method, route, status);
            self.count(method, route, status, took);
        }
    }

    /// Counts it where its metrics are known.
    fn count(&self, method: &'static str, route: &str, status: u16, took: Duration) -> bool {
        let routes = self.0.routes.read().unwrap_or_else(PoisonError::into_inner);
        let answers = routes.get(route).and_then(|all| all.iter().find(|one| one.method == method));
        let Some(answers) = answers else { return false };
        let Some((_, counter)) = answers.by_status.iter().find(|(known, _)| *known == status) else {
            return false;
        };
        counter.increment(1);
        answers.times.record(took);
        true
    }

    fn know(&self, method: &'static str, route: &str, status: u16) {
        let labels = [
            ("service", self.0.service.to_owned()),
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        let mut routes = self.0.routes.write().unwrap_or_else(PoisonError::into_inner);
        let all = routes.entry(route.to_owned()).or_default();
        let at = all.iter().position(|one| one.method == method).unwrap_or_else(|| {
            let times = histogram!("http_request_duration_seconds", &labels[..3]);
            all.push(Answers { method, times, by_status: Vec::new() });
            all.len() - 1
        });
        let by_status = &mut all[at].by_status;
        if by_status.iter().all(|(known, _)| *known != status) {
            by_status.push((status, counter!("http_requests_total", &labels)));
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").field(&self.0.service).finish()
    }
}
