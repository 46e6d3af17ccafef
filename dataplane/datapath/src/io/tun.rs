//! The subscribers' interface: a TUN device with one queue per worker.
//!
//! It is not persistent: it vanishes with the last queue, so a process that dies leaves nothing.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::config::StartError;

/// The ioctl that makes or joins an interface (`linux/if_tun.h`).
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

/// A new interface with that many queues.
pub(crate) fn create(interface: &str, queues: usize) -> Result<Vec<OwnedFd>, StartError> {
    let name = name(interface).ok_or_else(|| StartError::InterfaceName {
        interface: interface.into(),
    })?;
    let shared = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
    (0..queues)
        .map(|number| {
            // Only the first may demand that the interface be new: the others join it.
            let flags = if number == 0 {
                shared | libc::IFF_TUN_EXCL
            } else {
                shared
            };
            let queue = open().map_err(|error| explain(error, interface))?;
            attach(&queue, name, flags).map_err(|error| explain(error, interface))?;
            Ok(queue)
        })
        .collect()
}

fn open() -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    options.open("/dev/net/tun").map(OwnedFd::from)
}

fn attach(
    queue: &OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
    flags: libc::c_int,
) -> io::Result<()> {
    let ifru_flags = libc::c_short::from_ne_bytes({
        let [low, high, ..] = flags.to_le_bytes();
        i16::from_le_bytes([low, high]).to_ne_bytes()
    });
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags },
    };
    // SAFETY: the descriptor is open; TUNSETIFF reads and writes one ifreq, which lives through the
    // call, and reads of its union only the flags, which are set.
    let result = unsafe { libc::ioctl(queue.as_raw_fd(), TUNSETIFF, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn explain(error: io::Error, interface: &str) -> StartError {
    let interface = interface.to_owned();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => StartError::TunMissing,
        Some(libc::EPERM | libc::EACCES) => StartError::TunForbidden { interface },
        Some(libc::EBUSY | libc::EEXIST) => StartError::InterfaceExists { interface },
        _ => StartError::Tun {
            interface,
            source: error,
        },
    }
}

/// The name as the kernel wants it, if it is one: `%` would make the kernel choose a number.
fn name(interface: &str) -> Option<[libc::c_char; libc::IFNAMSIZ]> {
    let fits = (1..libc::IFNAMSIZ).contains(&interface.len()) && !matches!(interface, "." | "..");
    let clean = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'/' | b':' | b'%');
    if !fits || !interface.bytes().all(clean) {
        return None;
    }
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::try_from(from).ok()?;
    }
    Some(name)
}
