//! An operating system error number that keeps its name.

use std::fmt;
use std::io;

/// An error number of Linux, as the kernel returned it.
///
/// Serialised by its symbolic name (`"EADDRNOTAVAIL"`), because the numbers mean nothing to a reader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($number);)*

            /// The symbolic name, where the number is one that sockets return.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }

            /// The text that applications print for it (that of glibc's `strerror`).
            pub fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "Unknown error" }
            }

            /// The number behind a symbolic name.
            pub fn from_name(name: &str) -> Option<Errno> {
                match name { $(stringify!($name) => Some(Errno($number)),)* _ => None }
            }
        }
    };
}

// Numbers of include/uapi/asm-generic/errno{,-base}.h, which x86, Arm and RISC-V share.
errnos! {
    EPERM = 1, "Operation not permitted";
    EINTR = 4, "Interrupted system call";
    EIO = 5, "Input/output error";
    EBADF = 9, "Bad file descriptor";
    EAGAIN = 11, "Resource temporarily unavailable";
    ENOMEM = 12, "Cannot allocate memory";
    EACCES = 13, "Permission denied";
    EINVAL = 22, "Invalid argument";
    ENFILE = 23, "Too many open files in system";
    EMFILE = 24, "Too many open files";
    ENOSPC = 28, "No space left on device";
    EPIPE = 32, "Broken pipe";
    EPROTO = 71, "Protocol error";
    ENOPROTOOPT = 92, "Protocol not available";
    EPROTONOSUPPORT = 93, "Protocol not supported";
    EOPNOTSUPP = 95, "Operation not supported";
    EAFNOSUPPORT = 97, "Address family not supported by protocol";
    EADDRINUSE = 98, "Address already in use";
    EADDRNOTAVAIL = 99, "Cannot assign requested address";
    ENETDOWN = 100, "Network is down";
    ENETUNREACH = 101, "Network is unreachable";
    ENETRESET = 102, "Network dropped connection on reset";
    ECONNABORTED = 103, "Software caused connection abort";
    ECONNRESET = 104, "Connection reset by peer";
    ENOBUFS = 105, "No buffer space available";
    EISCONN = 106, "Transport endpoint is already connected";
    ENOTCONN = 107, "Transport endpoint is not connected";
    ETIMEDOUT = 110, "Connection timed out";
    ECONNREFUSED = 111, "Connection refused";
    EHOSTDOWN = 112, "Host is down";
    EHOSTUNREACH = 113, "No route to host";
    EALREADY = 114, "Operation already in progress";
    EINPROGRESS = 115, "Operation now in progress";
}

impl Errno {
    /// The number inside an I/O error, if the operating system gave one.
    pub fn of(error: &io::Error) -> Option<Errno> {
        error.raw_os_error().map(Errno)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Errno {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Errno {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Errno".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An error number of Linux by its symbolic name, or by its number where it has none here.",
            "type": "string",
            "pattern": "^(E[A-Z0-9]+|errno -?[0-9]+)$",
        })
    }
}

impl<'de> serde::Deserialize<'de> for Errno {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Errno::from_name(&text)
            .or_else(|| text.strip_prefix("errno ")?.parse().ok().map(Errno))
            .ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not the name of an errno")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree_with_the_operating_system() {
        for (errno, os) in [
            (Errno::EADDRNOTAVAIL, rustix::io::Errno::ADDRNOTAVAIL),
            (Errno::EADDRINUSE, rustix::io::Errno::ADDRINUSE),
            (Errno::ECONNREFUSED, rustix::io::Errno::CONNREFUSED),
            (Errno::ETIMEDOUT, rustix::io::Errno::TIMEDOUT),
            (Errno::EMFILE, rustix::io::Errno::MFILE),
            (Errno::ENFILE, rustix::io::Errno::NFILE),
            (Errno::EHOSTUNREACH, rustix::io::Errno::HOSTUNREACH),
        ] {
            assert_eq!(errno.0, os.raw_os_error());
            assert_eq!(Errno::from_name(errno.name().expect("named")), Some(errno));
        }
    }

    #[test]
    fn an_unknown_number_survives_json() {
        let json = serde_json::to_string(&Errno(4095)).expect("serialises");
        assert_eq!(json, "\"errno 4095\"");
        assert_eq!(serde_json::from_str::<Errno>(&json).expect("parses"), Errno(4095));
        assert!(serde_json::from_str::<Errno>("\"ENOSUCHTHING\"").is_err());
    }
}
