//! Live figures over HTTP while a run goes on: `GET /metrics` on an address of the user's choice. The run's own thread
//! only swaps the text, once a window.

use crate::cli::http::{self, Answer, Feed, Request, Server, Site};
use crate::report::openmetrics;
use crate::run::Watched;
use std::net::SocketAddr;
use std::sync::Arc;

/// The server, until it is dropped.
pub(super) struct Exporter {
    text: Arc<Feed>,
    _server: Server,
}

struct Figures(Arc<Feed>);

impl Exporter {
    /// Listens; the figures are those of a run that has not begun.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(super) fn start(address: SocketAddr) -> anyhow::Result<Exporter> {
        let listener = http::listen(address)?;
        http::announce(&listener);
        // An empty text is a valid one, with its end.
        let text = Arc::new(Feed::new("# EOF\n"));
        let server = Server::start(listener, Arc::new(Figures(text.clone())))?;
        Ok(Exporter { text, _server: server })
    }

    /// Renews the figures when a window is complete.
    pub(super) fn look(&mut self, watched: &Watched<'_>) {
        let Some(window) = watched.last_window() else { return };
        if let Ok(text) = openmetrics::render_running(&watched.so_far(vec![window])) {
            self.text.set(text);
        }
    }
}

impl Site for Figures {
    fn answer(&self, request: &Request<'_>) -> Answer {
        if request.method == "GET" && request.path == "/metrics" {
            return Answer::Text { status: "200 OK", kind: openmetrics::CONTENT_TYPE, body: self.0.get() };
        }
        Answer::plain("404 Not Found", "figures are at /metrics\n")
    }
}
