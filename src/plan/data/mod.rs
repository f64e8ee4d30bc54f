//! Data that clients fill placeholders with: `[data.NAME]`, each a file of rows, CSV with a header or JSON lines.
//!
//! A plan knows the names of the columns, which are looked up while it is read, so that a column that is not there is a
//! mistake at its place. The rows are read when the run begins.

mod columns;
mod reader;

pub(super) use reader::DataTables;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Gives the beginning of a file that a scenario names: as much of it as the first line needs. An error says why not.
pub type Files<'a> = dyn Fn(&Path) -> Result<Vec<u8>, String> + 'a;

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DataTable {
    /// Name by which placeholders use it: `{NAME.column}`.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Form of its rows.
    pub format: DataFormat,
    /// Order in which clients take rows.
    pub take: TakeRows,
    /// Names of its columns.
    pub columns: Vec<String>,
}

/// Form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// Values separated by commas, the names of the columns in the first line (RFC 4180).
    Csv,
    /// A JSON object a line, all with the names of the first.
    JsonLines,
}

/// Order in which clients take rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TakeRows {
    /// In the order of the file, and after the last the first again.
    #[default]
    InOrder,
    /// Any row, each time.
    Random,
    /// In the order of the file, each once: a client for whom there is none is not started.
    Once,
}

impl DataFormat {
    /// Form of a file of this name; `None` where its ending does not say.
    pub fn of(file: &Path) -> Option<DataFormat> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(DataFormat::Csv),
            "jsonl" | "ndjson" => Some(DataFormat::JsonLines),
            _ => None,
        }
    }
}

/// Names of all columns, as placeholders write them: `users.name`.
pub(super) fn names(tables: &[DataTable]) -> impl Iterator<Item = String> {
    tables.iter().flat_map(|table| table.columns.iter().map(move |column| format!("{}.{column}", table.name)))
}
