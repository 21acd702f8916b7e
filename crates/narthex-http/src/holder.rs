//! Who holds a port: asked when a port cannot be opened, so that the error names the program instead of a command to find
//! it. Everything that is read belongs to programs that may end meanwhile, and whose names may say anything.

use std::fmt;
use std::net::SocketAddr;

/// Who holds a port, as far as this program may see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortHolder {
    /// Another process.
    Process {
        /// Its id.
        pid: u32,
        /// What it is called: at most 15 bytes on Linux.
        name: String,
    },
    /// The very process that asked for the port.
    Itself {
        /// Its id.
        pid: u32,
        /// What it is called.
        name: String,
    },
    /// A process of another user. Only that user and root may see which.
    OtherUser {
        /// The user's id.
        uid: u32,
    },
    /// It cannot be seen from here, or this is not Linux.
    Unknown,
}

/// Reads on from "the port is taken by".
impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "another program: it is {name} with process id {pid}"),
            Self::Itself { pid, name } => write!(f, "{name} itself, process id {pid}"),
            Self::OtherUser { uid: 0 } => f.write_str("a program of root; run `ss -ltnp` as root to see which"),
            Self::OtherUser { uid } => write!(f, "a program of another user (id {uid}); run `ss -ltnp` as root to see which"),
            Self::Unknown if cfg!(target_os = "linux") => f.write_str("another program; run `ss -ltnp` as root to see which"),
            Self::Unknown => f.write_str("another program"),
        }
    }
}

impl PortHolder {
    /// Looks for who listens so that nobody else can at `address`.
    pub(crate) fn find(address: SocketAddr) -> Self {
        #[cfg(target_os = "linux")]
        {
            linux::find(address)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = address;
            Self::Unknown
        }
    }
}

/// The kernel's table of sockets gives the socket's inode and user, and the links in `/proc/PID/fd` whose it is.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::path::Path;

    use super::PortHolder;

    /// How much is looked at before giving up, at about a microsecond each: this may be the thread that serves everybody.
    const MOST_SOCKETS: usize = 100_000;
    const MOST_PROCESSES: usize = 10_000;
    const MOST_DESCRIPTORS: usize = 100_000;

    /// What `/proc/net/tcp` calls a socket that listens.
    const LISTEN: &str = "0A";

    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Listener {
        pub(super) address: IpAddr,
        pub(super) port: u16,
        pub(super) uid: u32,
        pub(super) inode: u64,
    }

    pub(super) fn find(address: SocketAddr) -> PortHolder {
        let tables: &[&str] = match address.is_ipv4() {
            // A socket of the other family can hold both.
            true => &["/proc/net/tcp", "/proc/net/tcp6"],
            false => &["/proc/net/tcp6"],
        };
        let Some(listener) = tables.iter().find_map(|table| listener_in(Path::new(table), address)) else {
            return PortHolder::Unknown;
        };
        match process_with(listener.inode) {
            Some(pid) if pid == std::process::id() => PortHolder::Itself { pid, name: name(pid) },
            Some(pid) => PortHolder::Process { pid, name: name(pid) },
            None if listener.uid != rustix::process::geteuid().as_raw() => PortHolder::OtherUser { uid: listener.uid },
            None => PortHolder::Unknown,
        }
    }

    fn listener_in(table: &Path, wanted: SocketAddr) -> Option<Listener> {
        let lines = BufReader::new(File::open(table).ok()?).lines();
        // The first line has the columns' names, which parse as no socket.
        lines.take(MOST_SOCKETS).map_while(Result::ok).filter_map(|line| parse(&line)).find(|listener| listener.excludes(wanted))
    }

    impl Listener {
        /// Whether another socket cannot listen at `wanted` because of this one.
        fn excludes(&self, wanted: SocketAddr) -> bool {
            let (own, wanted_ip) = (self.address.to_canonical(), wanted.ip());
            let anywhere = self.address.is_unspecified() || wanted_ip.is_unspecified() && own.is_ipv4() == wanted_ip.is_ipv4();
            self.port == wanted.port() && (own == wanted_ip || anywhere)
        }
    }

    /// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`
    pub(super) fn parse(line: &str) -> Option<Listener> {
        let mut columns = line.split_ascii_whitespace();
        let (address, port) = columns.nth(1)?.split_once(':')?;
        if columns.nth(1)? != LISTEN {
            return None;
        }
        let uid = columns.nth(3)?.parse().ok()?;
        let inode = columns.nth(1)?.parse().ok().filter(|&inode| inode != 0)?;
        Some(Listener { address: ip(address)?, port: u16::from_str_radix(port, 16).ok()?, uid, inode })
    }

    /// The address is words of memory in network order, each printed as a number of this machine.
    fn ip(hex: &str) -> Option<IpAddr> {
        let word = |index: usize| Some(u32::from_str_radix(hex.get(index * 8..index * 8 + 8)?, 16).ok()?.to_ne_bytes());
        match hex.len() {
            8 => Some(Ipv4Addr::from(word(0)?).into()),
            32 => {
                let mut bytes = [0; 16];
                for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                    part.copy_from_slice(&word(index)?);
                }
                Some(Ipv6Addr::from(bytes).into())
            }
            _ => None,
        }
    }

    /// The first process that has the socket: of a program that forks, usually the parent.
    fn process_with(inode: u64) -> Option<u32> {
        let wanted = format!("socket:[{inode}]");
        let mut descriptors = 0;
        let ids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in ids.take(MOST_PROCESSES) {
            // It may have ended, or be somebody else's.
            let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            for descriptor in open.flatten() {
                descriptors += 1;
                if fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
                    return Some(pid);
                }
                if descriptors >= MOST_DESCRIPTORS {
                    return None;
                }
            }
        }
        None
    }

    /// A process chooses its name itself, so what could move a terminal's cursor is left out.
    fn name(pid: u32) -> String {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name: String = String::from_utf8_lossy(&name).chars().filter(|char| !char.is_control()).collect();
        if name.is_empty() { "a program".to_owned() } else { name }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_line_of_the_kernels_table_is_read_if_it_listens() {
            let line = |state: &str| {
                let address = if cfg!(target_endian = "little") { "0100007F" } else { "7F000001" };
                format!(
                    "   0: {address}:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 43210 1 0 100 0"
                )
            };
            let listener = Listener { address: Ipv4Addr::LOCALHOST.into(), port: 8080, uid: 1000, inode: 43210 };
            assert_eq!(parse(&line("0A")), Some(listener));
            assert_eq!(parse(&line("01")), None);
            for cut in 0..line("0A").len() {
                let _ = parse(&line("0A")[..cut]);
            }
        }

        #[test]
        fn only_a_listener_that_is_in_the_way_is_named() {
            let excludes = |address: &str, wanted: &str| {
                let address: SocketAddr = address.parse().unwrap();
                let listener = Listener { address: address.ip(), port: address.port(), uid: 0, inode: 1 };
                listener.excludes(wanted.parse().unwrap())
            };
            assert!(excludes("127.0.0.1:80", "127.0.0.1:80"));
            assert!(excludes("127.0.0.1:80", "0.0.0.0:80"));
            assert!(excludes("0.0.0.0:80", "127.0.0.1:80"));
            assert!(excludes("[::]:80", "127.0.0.1:80"), "it may be dual-stack");
            assert!(excludes("[::ffff:127.0.0.1]:80", "127.0.0.1:80"));
            assert!(excludes("[::1]:80", "[::]:80"));
            assert!(!excludes("127.0.0.1:81", "127.0.0.1:80"));
            assert!(!excludes("127.0.0.2:80", "127.0.0.1:80"));
            assert!(!excludes("[::1]:80", "0.0.0.0:80"));
        }

        #[test]
        fn a_process_that_has_ended_has_no_name_and_no_sockets() {
            assert_eq!(name(u32::MAX), "a program");
            assert_eq!(process_with(u64::MAX), None);
        }
    }
}
