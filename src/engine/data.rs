//! Rows of data that clients fill placeholders with: read once when the run begins, shared by all workers.
//!
//! Of a file those columns alone are kept that a placeholder names. A row is the values of its columns one after the
//! other, each with its length before it: a million rows are one piece of memory and an offset a row.
//!
//! The number of the next row is all that workers share. It is taken once a client, so that rows go out in the order
//! of the file, none twice, and none is left while another worker has clients.

use crate::model::Slice;
use crate::plan::Plan;
use crate::plan::data::{DataFormat, DataTable, TakeRows};
use crate::plan::steps::names_used;
use rand::RngCore;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line of a file of JSON lines, in bytes.
const LONGEST_LINE: usize = 16 << 20;

/// Reason for which data can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't use the data in '{}': {why}", file.display())]
pub struct DataError {
    file: PathBuf,
    why: String,
}

/// Every file of rows that a plan uses.
#[derive(Debug, Default)]
pub(in crate::engine) struct Tables(Vec<Table>);

/// A file of rows.
#[derive(Debug)]
struct Table {
    name: String,
    /// Names of the columns that are kept.
    columns: Vec<String>,
    take: TakeRows,
    rows: Rows,
    /// Part of the plan that this process does: rows are divided as attempts are.
    slice: Slice,
    /// Number of rows that were taken.
    taken: AtomicU64,
}

/// Rows in one piece of memory.
#[derive(Debug, Default)]
struct Rows {
    bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<u64>,
}

/// Number of a row of each table, in their order.
pub(in crate::engine) type Drawn = Box<[u32]>;

/// Place of a column: the number of its table, and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Column {
    table: u16,
    column: u16,
}

impl Tables {
    /// The rows that a process which does this part of a plan may take.
    ///
    /// # Errors
    /// When a file can't be read, or its rows are not alike.
    pub(in crate::engine) fn load(plan: &Plan, slice: Slice) -> Result<Arc<Tables>, DataError> {
        let used: BTreeSet<String> =
            plan.each().into_iter().flat_map(|plan| names_used(&plan.session)).collect();
        let of_plan = plan.data.iter().filter_map(|table| {
            let is_used = |column: &&String| used.contains(&format!("{}.{column}", table.name));
            let columns: Vec<String> = table.columns.iter().filter(is_used).cloned().collect();
            (!columns.is_empty()).then(|| Table::load(table, columns, slice))
        });
        Ok(Arc::new(Tables(of_plan.collect::<Result<_, _>>()?)))
    }

    /// Names of all columns that are kept, each with its place.
    pub(in crate::engine) fn columns(&self) -> impl Iterator<Item = (String, Column)> {
        (0_u16..).zip(&self.0).flat_map(|(table, of)| {
            let columns = (0_u16..).zip(&of.columns);
            columns.map(move |(column, name)| (format!("{}.{name}", of.name), Column { table, column }))
        })
    }

    /// Tables that these names are of, each by its place; none where no name is of any.
    pub(in crate::engine) fn used_by(&self, names: &BTreeSet<String>) -> Vec<bool> {
        let is_of = |table: &Table, name: &str| name.split_once('.').is_some_and(|(of, _)| of == table.name);
        let used: Vec<bool> =
            self.0.iter().map(|table| names.iter().any(|name| is_of(table, name))).collect();
        if used.contains(&true) { used } else { Vec::new() }
    }

    /// Rows of a client, of the tables that it uses; `None` where all were used that are to be used once.
    pub(in crate::engine) fn draw(&self, used: &[bool], random: &mut dyn RngCore) -> Option<Drawn> {
        let tables = self.0.iter().zip(used);
        tables.map(|(table, is_used)| if *is_used { table.draw(random) } else { Some(u32::MAX) }).collect()
    }

    /// A value of rows that were drawn.
    pub(in crate::engine) fn value(&self, column: Column, drawn: &[u32]) -> &[u8] {
        let table = usize::from(column.table);
        match (self.0.get(table), drawn.get(table)) {
            (Some(of), Some(row)) => of.rows.value(*row, usize::from(column.column)),
            _ => &[],
        }
    }
}

impl Table {
    fn load(table: &DataTable, columns: Vec<String>, slice: Slice) -> Result<Table, DataError> {
        let rows = Rows::read(table, &columns)
            .and_then(|rows| if rows.starts.is_empty() { Err("it has no rows".to_owned()) } else { Ok(rows) })
            .map_err(|why| DataError { file: table.file.clone(), why })?;
        let (name, take, taken) = (table.name.clone(), table.take, AtomicU64::new(0));
        Ok(Table { name, columns, take, rows, slice, taken })
    }

    fn draw(&self, random: &mut dyn RngCore) -> Option<u32> {
        let rows = self.rows.starts.len() as u64;
        let next = || self.slice.global(self.taken.fetch_add(1, Ordering::Relaxed));
        let row = match self.take {
            TakeRows::InOrder => next() % rows,
            TakeRows::Random => random.next_u64() % rows,
            TakeRows::Once => Some(next()).filter(|row| *row < rows)?,
        };
        u32::try_from(row).ok()
    }
}

impl Rows {
    /// The rows of a file, of these columns.
    fn read(table: &DataTable, columns: &[String]) -> Result<Rows, String> {
        let file = File::open(&table.file).map_err(|error| error.to_string())?;
        let size = file.metadata().map_or(0, |data| data.len());
        let mut rows = Rows::default();
        // Most of it, where most columns are kept; growing by doubling would take twice as much for a moment.
        rows.bytes.reserve(usize::try_from(size).unwrap_or_default());
        match table.format {
            DataFormat::Csv => rows.read_csv(BufReader::new(file), columns),
            DataFormat::JsonLines => rows.read_json(BufReader::new(file), columns),
        }?;
        rows.bytes.shrink_to_fit();
        rows.starts.shrink_to_fit();
        Ok(rows)
    }

    fn read_csv(&mut self, file: impl std::io::Read, columns: &[String]) -> Result<(), String> {
        let mut reader = csv::ReaderBuilder::new().from_reader(file);
        let header = reader.headers().map_err(|error| error.to_string())?;
        let place = |column: &String| header.iter().position(|name| name.trim() == column);
        let places: Vec<usize> = columns
            .iter()
            .map(|column| place(column).ok_or_else(|| format!("it has no column '{column}' any more")))
            .collect::<Result<_, _>>()?;
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| told(&error))? {
            self.begin_row()?;
            places.iter().for_each(|place| self.push(record.get(*place).unwrap_or_default()));
        }
        Ok(())
    }

    fn read_json(&mut self, mut file: impl BufRead, columns: &[String]) -> Result<(), String> {
        let (mut line, mut number) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            number += 1;
            let mut limited = std::io::Read::take(&mut file, LONGEST_LINE as u64 + 1);
            if limited.read_until(b'\n', &mut line).map_err(|error| error.to_string())? == 0 {
                return Ok(());
            }
            if line.len() > LONGEST_LINE {
                return Err(format!("line {number} is longer than 16 MiB"));
            }
            let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
            if text.is_empty() {
                continue;
            }
            let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text)
                .map_err(|error| format!("line {number} is no JSON object: {error}"))?;
            self.begin_row()?;
            for column in columns {
                let value = fields.get(column).ok_or_else(|| format!("line {number} has no '{column}'"))?;
                match value {
                    serde_json::Value::String(text) => self.push(text.as_bytes()),
                    other => self.push(other.to_string().as_bytes()),
                }
            }
        }
    }

    fn begin_row(&mut self) -> Result<(), String> {
        if self.starts.len() >= u32::MAX as usize {
            return Err("it has more than 4 billion rows".to_owned());
        }
        self.starts.push(self.bytes.len() as u64);
        Ok(())
    }

    /// Adds a value: its length, seven bits a byte and the lowest first, and its bytes.
    fn push(&mut self, value: &[u8]) {
        let mut length = value.len();
        while length >= 0x80 {
            self.bytes.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        self.bytes.push(length.to_le_bytes()[0]);
        self.bytes.extend_from_slice(value);
    }

    fn value(&self, row: u32, column: usize) -> &[u8] {
        let start = self.starts.get(row as usize).and_then(|start| usize::try_from(*start).ok());
        let mut rest = start.and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        for _ in 0..column {
            rest = split_value(rest).1;
        }
        split_value(rest).0
    }
}

/// The first value, and what follows it.
fn split_value(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (mut length, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        length |= usize::from(byte & 0x7f) << (7 * at.min(9));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    bytes.get(at..).and_then(|rest| rest.split_at_checked(length)).unwrap_or_default()
}

/// The error of a row, with its line.
fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } => {
            format!("line {} has {len} values, the first line {expected_len} names", pos.line())
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use std::io::Write;

    fn rows(format: DataFormat, text: &str, columns: &[&str]) -> Result<Rows, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let table = DataTable {
            name: "users".into(),
            file: file.path().to_owned(),
            format,
            take: TakeRows::InOrder,
            columns: columns.clone(),
        };
        Rows::read(&table, &columns)
    }

    fn table(take: TakeRows, rows: u64, slice: Slice) -> Tables {
        let mut kept = Rows::default();
        for row in 0..rows {
            kept.begin_row().unwrap();
            kept.push(row.to_string().as_bytes());
        }
        let (name, columns) = ("users".to_owned(), vec!["id".to_owned()]);
        Tables(vec![Table { name, columns, take, rows: kept, slice, taken: AtomicU64::new(0) }])
    }

    #[test]
    fn values_are_kept_as_they_are_meant_and_by_column() {
        let long = "x".repeat(70_000);
        let text = format!("name,id,note\n\"a \"\"b\"\", c\",1,\nü,22,{long}\n");
        let kept = rows(DataFormat::Csv, &text, &["note", "name"]).unwrap();
        assert_eq!((kept.value(0, 0), kept.value(0, 1)), (&b""[..], &b"a \"b\", c"[..]));
        assert_eq!((kept.value(1, 0), kept.value(1, 1)), (long.as_bytes(), "ü".as_bytes()));
        assert_eq!((kept.value(2, 0), kept.value(0, 9)), (&b""[..], &b""[..]));
        let kept = rows(
            DataFormat::JsonLines,
            "{\"a\":\"x\\ny\",\"b\":[1,2]}\n\n{\"a\":1.50,\"b\":null}",
            &["b", "a"],
        )
        .unwrap();
        assert_eq!((kept.value(0, 0), kept.value(0, 1)), (&b"[1,2]"[..], &b"x\ny"[..]));
        assert_eq!((kept.value(1, 0), kept.value(1, 1)), (&b"null"[..], &b"1.5"[..]));
    }

    #[test]
    fn a_row_that_is_unlike_the_first_is_told_by_its_line() {
        let error = rows(DataFormat::Csv, "a,b\n1,2\n3\n", &["a"]).unwrap_err();
        assert_eq!(error, "line 3 has 1 values, the first line 2 names");
        let error = rows(DataFormat::JsonLines, "{\"a\":1}\n{\"b\":1}\n", &["a"]).unwrap_err();
        assert_eq!(error, "line 2 has no 'a'");
        assert!(
            rows(DataFormat::JsonLines, "{\"a\":1}\n{\"a\":", &["a"])
                .unwrap_err()
                .starts_with("line 2 is no JSON")
        );
    }

    #[test]
    fn rows_are_taken_in_order_once_or_at_random() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut draw = |tables: &Tables| tables.draw(&[true], &mut random).map(|drawn| drawn[0]);
        let in_order = table(TakeRows::InOrder, 3, Slice::WHOLE);
        assert_eq!((0..7).map(|_| draw(&in_order).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        let once = table(TakeRows::Once, 2, Slice::WHOLE);
        assert_eq!((0..4).map(|_| draw(&once)).collect::<Vec<_>>(), [Some(0), Some(1), None, None]);
        let any = table(TakeRows::Random, 3, Slice::WHOLE);
        let drawn: BTreeSet<u32> = (0..100).map(|_| draw(&any).unwrap()).collect();
        assert_eq!(drawn, BTreeSet::from([0, 1, 2]));
    }

    /// Workers share the counter, parts of a plan the rule by which attempts are divided.
    #[test]
    fn no_row_is_taken_twice_by_threads_and_parts() {
        let mut all = Vec::new();
        for part in 0..3 {
            let tables = Arc::new(table(TakeRows::Once, 1_000, Slice::new(part, 1, 3).unwrap()));
            let threads: Vec<_> = (0..4)
                .map(|seed| {
                    let tables = tables.clone();
                    std::thread::spawn(move || {
                        let mut random = SmallRng::seed_from_u64(seed);
                        std::iter::from_fn(|| tables.draw(&[true], &mut random))
                            .map(|drawn| drawn[0])
                            .collect::<Vec<u32>>()
                    })
                })
                .collect();
            all.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
        }
        all.sort_unstable();
        assert_eq!(all, (0..1_000).collect::<Vec<u32>>());
    }
}
