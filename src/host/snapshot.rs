//! A host's settings as a file: `doctor --save` writes it, `plan --host` reads it, perhaps another version on
//! another machine.

use crate::linux::sysctl::HostSettings;
use serde::{Deserialize, Serialize};

/// Version of the file. It rises only when a field changes its meaning; fields are only ever added.
pub const VERSION: u32 = 1;

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedHost {
    /// See [`VERSION`]. A file written by hand need not have it.
    #[serde(default = "current")]
    pub schema_version: u32,
    /// The program that wrote it.
    #[serde(default)]
    pub connstorm_version: String,
    /// The settings, under the kernel's names.
    #[serde(flatten)]
    pub settings: HostSettings,
}

/// Reason for which a text is no saved host.
#[derive(Debug, thiserror::Error)]
pub enum SavedHostError {
    /// The text is no JSON, or a field is of another kind.
    #[error("it is damaged, or no JSON: {0}; save it again: connstorm doctor --save FILE")]
    Damaged(#[from] serde_json::Error),
    /// A later program wrote it.
    #[error(
        "it is of version {found}, and this connstorm knows version {VERSION} at most: use the connstorm that wrote it \
         ({by}), or save it again with this one"
    )]
    Newer {
        /// Version that was found.
        found: u32,
        /// The program's.
        by: String,
    },
    /// The text is JSON, and holds not one setting.
    #[error("it holds no setting of a host; save one: connstorm doctor --save FILE")]
    Nothing,
}

fn current() -> u32 {
    VERSION
}

impl SavedHost {
    /// Settings, to be written.
    pub fn new(settings: HostSettings) -> SavedHost {
        SavedHost {
            schema_version: VERSION,
            connstorm_version: env!("CARGO_PKG_VERSION").to_owned(),
            settings,
        }
    }

    /// Reads a file's text. Fields that this version does not know are passed over, and those that are
    /// missing are unknown.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn parse(text: &str) -> Result<HostSettings, SavedHostError> {
        // The version first: what a later one has changed need not be of the kind that this one expects.
        #[derive(Deserialize)]
        struct Head {
            #[serde(default = "current")]
            schema_version: u32,
            #[serde(default)]
            connstorm_version: String,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema_version > VERSION {
            return Err(SavedHostError::Newer { found: head.schema_version, by: head.connstorm_version });
        }
        let saved: SavedHost = serde_json::from_str(text)?;
        if saved.settings == HostSettings::default() {
            return Err(SavedHostError::Nothing);
        }
        Ok(saved.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were_saved() {
        let settings = HostSettings::read();
        let text = serde_json::to_string_pretty(&SavedHost::new(settings.clone())).unwrap();
        assert_eq!(SavedHost::parse(&text).unwrap(), settings);
    }

    #[test]
    fn damaged_newer_and_other_files_are_told_apart() {
        let text = serde_json::to_string(&SavedHost::new(HostSettings::read())).unwrap();
        let told = |text: &str| SavedHost::parse(text).unwrap_err().to_string();
        assert!(told(&text[..text.len() / 2]).contains("damaged"));
        assert!(told("").contains("damaged") && told("[1]").contains("damaged"));
        assert!(told(r#"{"tcp_tw_reuse": "on"}"#).contains("damaged"));
        let newer = r#"{"schema_version": 2, "connstorm_version": "9.1", "ip_local_port_range": "other"}"#;
        assert!(told(newer).contains("version 2") && told(newer).contains("9.1"));
        assert!(told(r#"{"verdict": "passed"}"#).contains("no setting"));
        let later = r#"{"schema_version": 1, "tcp_tw_reuse": 0, "of_a_later_version": {"x": 1}}"#;
        assert_eq!(SavedHost::parse(later).unwrap().tcp_tw_reuse, Some(0));
    }
}
