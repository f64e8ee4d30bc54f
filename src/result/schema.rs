//! The JSON schema of results, derived from the model itself.

use crate::result::model::{RunResult, SCHEMA_VERSION};
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of a result, as of JSON Schema 2020-12.
pub fn of_result() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RunResult>();
    schema.insert("title".into(), "The result of a run of connstorm".into());
    if let Some(version) = schema.pointer_mut("/properties/schema_version").and_then(Value::as_object_mut) {
        version.insert("const".into(), SCHEMA_VERSION.into());
    }
    schema.to_value()
}
