//! TLS on a target: the certificate that it makes when it starts, and the sessions of its connections.

mod certificate;
mod session;

pub(super) use certificate::Identity;
pub(super) use session::Session;

/// Fault of the certificate that a target makes for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    /// Nothing but that nobody else has signed it.
    #[default]
    None,
    /// The certificate was valid in the year 2000.
    Expired,
    /// The certificate is for `wrong.connstorm.invalid` alone.
    WrongName,
}

/// The certificate that a target is to make for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Host names and addresses that it is for, beside `localhost` and the addresses listened on.
    pub names: Vec<String>,
    /// Fault of the certificate.
    pub flaw: Flaw,
}
