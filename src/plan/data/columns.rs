//! Names of the columns of a file of rows, out of its beginning.

use super::DataFormat;

/// The names, or what is wrong with them. `beginning` holds at least the first line.
pub(super) fn columns(format: DataFormat, beginning: &[u8]) -> Result<Vec<String>, String> {
    let names = match format {
        DataFormat::Csv => of_csv(beginning)?,
        DataFormat::JsonLines => of_json(beginning)?,
    };
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(format!("two columns are called '{}'", twice.1));
    }
    Ok(names)
}

fn of_csv(beginning: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().from_reader(beginning);
    let header = reader.headers().map_err(|error| format!("its first line can't be read: {error}"))?;
    if header.is_empty() || header.iter().all(|name| name.trim().is_empty()) {
        return Err("it has no first line with the names of the columns".to_owned());
    }
    Ok(header.iter().map(|name| name.trim().to_owned()).collect())
}

fn of_json(beginning: &[u8]) -> Result<Vec<String>, String> {
    let line = beginning.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    let line = line.ok_or("it has no line with a JSON object")?;
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    match serde_json::from_slice(line) {
        Ok(serde_json::Value::Object(fields)) if !fields.is_empty() => {
            Ok(fields.into_iter().map(|(name, _)| name).collect())
        }
        Ok(_) => Err("its first line is no JSON object with fields".to_owned()),
        Err(error) => Err(format!("its first line is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_has_the_names_of_the_columns() {
        let csv = |text: &str| columns(DataFormat::Csv, text.as_bytes());
        assert_eq!(csv("\u{feff}name, token\nann,1\n").unwrap(), ["name", "token"]);
        assert_eq!(csv("\"a,b\",c\r\n").unwrap(), ["a,b", "c"]);
        assert!(csv("").is_err() && csv("\n\n").is_err());
        assert_eq!(csv("a,b,a\n").unwrap_err(), "two columns are called 'a'");
        let json = |text: &str| columns(DataFormat::JsonLines, text.as_bytes());
        assert_eq!(json("\n{\"name\":\"ann\",\"id\":1}\n{\n").unwrap(), ["id", "name"]);
        for bad in ["", "[1]\n", "{}\n", "{\"a\":\n"] {
            assert!(json(bad).is_err(), "{bad}");
        }
    }
}
