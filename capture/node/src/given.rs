//! Packet sockets that libpcap is given, instead of those it opens.
//!
//! libpcap cannot take over a descriptor. But it gets its descriptors from `socket(2)`, and the function of that name
//! here comes before the C library's in every program with this crate in it. So a process that may not open packet
//! sockets captures on those of another that may.
#![expect(unsafe_code, reason = "a function of the C library's is replaced")]

use socket2::{Domain, SockRef, Socket, Type};
use std::cell::RefCell;
use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{IntoRawFd as _, OwnedFd};

/// libpcap opens a raw socket, and a cooked one instead where it does not know what frames begin with.
pub(crate) const KINDS: [Type; 2] = [Type::RAW, Type::DGRAM];

thread_local! {
    static GIVEN: RefCell<Vec<OwnedFd>> = const { RefCell::new(Vec::new()) };
}

/// One socket of each of the [`KINDS`], in the network namespace the thread is in. They receive nothing until libpcap
/// binds one to an interface of that namespace, which takes no capability.
pub(crate) fn packet_sockets() -> io::Result<[OwnedFd; KINDS.len()]> {
    let [raw, cooked] = KINDS.map(|kind| Socket::new(Domain::PACKET, kind, None).map(OwnedFd::from));
    Ok([raw?, cooked?])
}

/// What `open` returns, to which the packet sockets it asks for are given by their kinds; the others are closed.
pub(crate) fn with_sockets<T>(sockets: Vec<OwnedFd>, open: impl FnOnce() -> T) -> T {
    GIVEN.set(sockets);
    let opened = open();
    drop(GIVEN.take());
    opened
}

/// The one of that kind that was given.
fn given(kind: Type) -> Option<OwnedFd> {
    GIVEN.with_borrow_mut(|sockets| {
        let is_it = |socket: &OwnedFd| SockRef::from(socket).r#type().is_ok_and(|its| its == kind);
        sockets.iter().position(is_it).map(|at| sockets.swap_remove(at))
    })
}

/// `socket(2)`: a packet socket that was given to this thread, or else a new one.
#[unsafe(no_mangle)]
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let taken = if domain == libc::AF_PACKET { given(kind.into()) } else { None };
    match taken {
        Some(socket) => socket.into_raw_fd(),
        // SAFETY: the system call takes three numbers and touches no memory of ours.
        None => unsafe {
            libc::syscall(libc::SYS_socket, c_long::from(domain), c_long::from(kind), c_long::from(protocol)) as c_int
        },
    }
}
