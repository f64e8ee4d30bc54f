//! News from one worker to the others: what a broadcast has to deliver.
//!
//! A mailbox is bounded in bytes. What does not fit is not delivered, and whoever posted it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait for a worker.
const ROOM: usize = 32 << 20;

/// A frame as it goes over the wire, shared by all who deliver it.
pub(super) type News = Arc<[u8]>;

/// Messages that wait for one worker.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    news: VecDeque<News>,
    bytes: usize,
}

impl Mailbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts news; `false` where there is no room.
    pub(super) fn post(&self, news: &News) -> bool {
        let mut waiting = self.waiting();
        let fits = waiting.bytes + news.len() <= ROOM;
        if fits {
            waiting.bytes += news.len();
            waiting.news.push_back(news.clone());
        }
        fits
    }

    /// Takes all there is.
    pub(super) fn empty(&self) -> VecDeque<News> {
        std::mem::take(&mut *self.waiting()).news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_wait_in_order_and_within_bounds() {
        let mailbox = Mailbox::default();
        let half: News = vec![0; ROOM / 2].into();
        let one: News = vec![1].into();
        assert!(mailbox.post(&half) && mailbox.post(&half) && !mailbox.post(&one));
        assert_eq!(mailbox.empty().len(), 2);
        assert!(mailbox.post(&one) && mailbox.post(&half));
        assert_eq!(mailbox.empty().iter().map(|news| news.len()).collect::<Vec<_>>(), [1, ROOM / 2]);
        assert!(mailbox.empty().is_empty());
    }
}
