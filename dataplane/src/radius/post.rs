//! A mailbox between the control task and the thread of RADIUS, as tasks wait for it.

use std::sync::Arc;

use lns_tables::mailbox::{Receiver, Sender, Wake, mailbox};
use tokio::sync::Notify;

/// Wakes a task, on whichever thread it is. A ring before the task waits is not lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// Where messages are put.
pub(crate) type Outgoing<T> = Sender<T, Bell>;

/// Where messages are taken.
#[derive(Debug)]
pub(crate) struct Incoming<T> {
    receiver: Receiver<T>,
    bell: Bell,
}

/// A mailbox for `capacity` messages.
pub(crate) fn post<T>(capacity: usize) -> (Outgoing<T>, Incoming<T>) {
    let bell = Bell::default();
    let (sender, receiver) = mailbox(capacity, bell.clone());
    (sender, Incoming { receiver, bell })
}

impl<T> Incoming<T> {
    /// The oldest message.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.receiver.take()
    }

    /// Waits until there may be a message, or the other side has ended. Nothing is lost when who waits is
    /// dropped.
    pub(crate) async fn wait(&mut self) {
        if self.receiver.sleep() {
            self.bell.0.notified().await;
        }
        self.receiver.wake();
    }

    /// Whether nothing comes any more; what came before can still be taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::thread;

    use tokio::runtime;
    use tokio::time::timeout;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn r34_every_message_of_another_thread_is_taken_by_a_task_that_also_waits_for_other_things() {
        const MESSAGES: u32 = 100_000;
        let (mut sender, mut incoming) = post(64);
        let sending = thread::spawn(move || {
            for message in 0..MESSAGES {
                while sender.send(message).is_err() {
                    thread::yield_now();
                }
            }
            (sender.signals(), sender.sent())
        });
        let taken = block_on(async {
            let mut taken = 0;
            loop {
                while let Some(message) = incoming.take() {
                    assert_eq!(message, taken);
                    taken += 1;
                }
                if incoming.is_closed() && taken == MESSAGES {
                    return taken;
                }
                // The wait is given up again and again, as a `select!` does.
                let _cut_short = timeout(Duration::from_micros(50), incoming.wait()).await;
            }
        });
        let (signals, sent) = sending.join().unwrap();
        assert_eq!((taken, sent), (MESSAGES, u64::from(MESSAGES)));
        assert!(signals <= sent);
    }

    #[test]
    fn a_wait_ends_when_the_other_side_does() {
        let (sender, mut incoming) = post::<u8>(1);
        drop(sender);
        block_on(incoming.wait());
        assert!(incoming.is_closed());
    }
}
