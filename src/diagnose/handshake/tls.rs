//! TLS that fails: the wrong port, an alert, a certificate that is refused.

use super::{Case, other_scheme};
use crate::diagnose::FindingId;
use crate::diagnose::claim::Claim;
use crate::model::Cause;

/// The finding of a handshake that failed before, or beside, the certificate.
pub(super) fn finding(case: &Case<'_>) -> Claim {
    match case.failed.failure.cause {
        Cause::PlainTextOnTls if !speaks_another(case) => {
            let found = match case.protocol() {
                Some("HTTP") => "plain HTTP".to_owned(),
                Some(protocol) => protocol.to_owned(),
                None => "plain text".to_owned(),
            };
            let says = format!(
                "{} has no TLS on that port: it answered our ClientHello with {found}{}; browsers say: \
                 'net::ERR_SSL_PROTOCOL_ERROR'",
                case.url(),
                case.bytes()
            );
            other_scheme::advised(case, case.target(FindingId::TlsToAPlainPort, says), case.other_scheme())
        }
        Cause::PlainTextOnTls | Cause::NotTls => {
            let found = case.protocol().unwrap_or("no protocol that is known");
            let says = format!(
                "{} answered our ClientHello with {found}{}; browsers say: 'net::ERR_SSL_PROTOCOL_ERROR'",
                case.url(),
                case.bytes()
            );
            let finding = case.target(FindingId::TlsToAnotherProtocol, says).remedy(
                "connect to the port that speaks TLS: ss -ltnp on the server shows what listens on which",
            );
            if matches!(
                found,
                "SMTP" | "FTP" | "SMTP or FTP" | "IMAP" | "Redis (RESP) or POP3" | "PostgreSQL"
            ) {
                return finding.remedy(
                    "mail, FTP and PostgreSQL begin TLS by a command (STARTTLS) on that port; connstorm does not. Ports \
                     with TLS from the first byte: 465 (SMTP), 993 (IMAP), 995 (POP3), 990 (FTP)",
                );
            }
            finding
        }
        Cause::TlsAlert => alert(case),
        _ => {
            let says = format!("TLS with {} fails: {}", case.url(), case.says());
            case.target(FindingId::TlsFails, says)
                .remedy("openssl s_client -connect HOST:PORT    # what the server offers")
        }
    }
}

/// True if the port is known to speak something else than the same without TLS.
fn speaks_another(case: &Case<'_>) -> bool {
    case.protocol().is_some_and(|protocol| !matches!(protocol, "HTTP" | "a text protocol"))
}

fn alert(case: &Case<'_>) -> Claim {
    let number = case.failed.failure.code.unwrap_or(0);
    // RFC 8446, section 6.
    let (name, meaning) = match number {
        40 => ("handshake_failure", "it finds no parameters in common, or wants a client certificate"),
        42 | 43 | 46 => ("bad_certificate", "it does not take our certificate"),
        44 => ("certificate_revoked", "our certificate is revoked"),
        45 => ("certificate_expired", "our certificate has expired"),
        47 => ("illegal_parameter", "it does not take what we offered"),
        48 => ("unknown_ca", "it does not know who signed our certificate"),
        49 => ("access_denied", "our certificate gives us no right to enter"),
        51 => ("decrypt_error", "the signature of our certificate, or ours by its key, does not hold"),
        70 => ("protocol_version", "it speaks no version of TLS that we do"),
        71 => ("insufficient_security", "it wants stronger parameters than we offer"),
        80 => ("internal_error", "it failed by itself"),
        112 => ("unrecognized_name", "it has no certificate for the name that we asked for"),
        116 => ("certificate_required", "it wants a client certificate, and we showed none"),
        120 => ("no_application_protocol", "it speaks none of the protocols that we offered by ALPN"),
        _ => ("another", "see RFC 8446, section 6"),
    };
    let says = format!("{} ended TLS with alert {number} ({name}): {meaning}", case.url());
    // 42 to 46, 48 and 51 are verdicts on a certificate and its signature (a server has none but ours to judge), 116 on
    // that there is none.
    let is_about_ours = matches!(number, 42..=46 | 48 | 49 | 51 | 116);
    let id = if is_about_ours { FindingId::ClientCertificateRequired } else { FindingId::TlsAlert };
    let finding = case.target(id, says);
    match number {
        40 | 42..=46 | 48 | 49 | 51 | 116 => finding
            .remedy("--cert FILE --key FILE: a certificate that the server takes")
            .remedy("look at which certificates the server takes: ssl_client_certificate in nginx, ca-file in HAProxy"),
        70 => finding
            .remedy("--tls-version 1.2 or 1.3, as the server has it; versions below 1.2 are not spoken"),
        112 => finding.remedy("--server-name NAME: the name that its certificate is for"),
        120 => finding.remedy("--alpn NAME, as the server's manual has it"),
        _ => finding.remedy("look into the server's log"),
    }
}

/// The server asked for a client's certificate, and ended the connection instead of an answer: Python's TLS servers send
/// no alert.
pub(super) fn certificate_asked(case: &Case<'_>) -> Claim {
    let says = format!(
        "{} asked for a client certificate in its TLS handshake, and closed the connection before it answered: it does not \
         take a client without one, or not the one that was shown",
        case.url()
    );
    case.target(FindingId::ClientCertificateRequired, says)
        .remedy("--cert FILE --key FILE: a certificate that the server takes, and its key, as PEM")
        .remedy("look into the server's log: it says whether it was the certificate")
}

/// The finding of a certificate that is refused.
pub(super) fn certificate(case: &Case<'_>) -> Claim {
    let (id, what) = match case.failed.failure.cause {
        Cause::CertificateExpired => (FindingId::CertificateExpired, "has expired"),
        Cause::CertificateNotYetValid => {
            (FindingId::CertificateNotYetValid, "is not valid yet; is this host's clock right?")
        }
        Cause::UnknownIssuer => (FindingId::UnknownIssuer, "is signed by nobody whom this host trusts"),
        Cause::NameMismatch => {
            (FindingId::NameMismatch, "is for another name than the one that was asked for")
        }
        _ => (FindingId::CertificateInvalid, "is refused"),
    };
    let says = format!("the certificate of {} {what} ({})", case.url(), case.says());
    let finding = case.target(id, says);
    match case.failed.failure.cause {
        Cause::UnknownIssuer => finding
            .remedy("--ca FILE: the certificate of who signed it, as PEM")
            .remedy("let the server send its whole chain, intermediate certificates too")
            .remedy("--insecure for a test server of your own"),
        Cause::NameMismatch => finding
            .remedy("--server-name NAME: the name that the certificate is for")
            .remedy("or connect by that name"),
        _ => finding.remedy("renew it on the server").remedy("--insecure for a test server of your own"),
    }
}
