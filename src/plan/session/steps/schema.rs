//! JSON schema of the field `steps`.

use serde_json::{Value, json};

/// A list of steps; the definition of a step stands beside it and refers to itself.
pub(super) fn schema() -> Value {
    json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" } })
}

/// Definitions of steps in `$defs`.
pub(in crate::plan) fn definitions() -> Vec<(&'static str, Value)> {
    let text = json!({ "type": ["string", "number"] });
    let payload = json!({ "oneOf": [text, {
        "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
        "properties": { "hex": { "type": "string" }, "base64": { "type": "string" }, "file": { "type": "string" } },
    }] });
    let matching = json!({ "oneOf": [{ "type": "string" }, {
        "type": "object", "additionalProperties": false, "minProperties": 1,
        "properties": {
            "any": { "type": "boolean" }, "echo": { "type": "boolean" }, "equals": text, "starts_with": text,
            "contains": text, "regex": { "type": "string" }, "json": { "type": "string" }, "hex": { "type": "string" },
            "after": text,
        },
    }] });
    let headers = json!({ "type": "object", "additionalProperties": text });
    let take = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let empty = json!({ "type": "object", "maxProperties": 0 });
    let time = json!({ "type": "string" });
    let one = ["http", "open", "send", "wait", "think", "repeat", "on", "close"]
        .map(|act| json!({ "required": [act] }));
    let step = json!({
        "type": "object",
        "additionalProperties": false,
        "anyOf": one,
        "properties": {
            "http": { "description": "A request, such as \"POST /login\".", "type": "string" },
            "open": { "description": "Open the WebSocket: true for the target's own path, or a path.",
                "oneOf": [{ "const": true }, empty, { "type": "string" }] },
            "send": { "description": "A message to send.", "$ref": "#/$defs/payload" },
            "wait": { "description": "Wait for such a message.", "$ref": "#/$defs/match" },
            "think": { "description": "Pause so long, such as \"1s\" or \"exponential(5s)\".", "type": "string" },
            "repeat": { "description": "How often, or \"until-end\".", "type": ["integer", "string"] },
            "on": { "description": "Answer each such message from here on.", "$ref": "#/$defs/match" },
            "close": { "description": "Close the connection: true, or the code.",
                "oneOf": [{ "const": true }, empty, { "type": "integer" }, { "type": "string" }] },
            "name": { "description": "Name of the step, by which it is a metric.", "type": "string" },
            "expect": { "description": "What answers it; of a request the statuses.",
                "oneOf": [{ "$ref": "#/$defs/match" }, { "type": "integer" }] },
            "within": { "description": "Longest wait.", "$ref": "#/$defs/time" },
            "take": { "description": "Values to take of the answer.", "$ref": "#/$defs/take" },
            "headers": { "description": "Headers beside the target's.", "$ref": "#/$defs/headers" },
            "subprotocols": { "description": "Subprotocols to offer.", "type": "array", "items": { "type": "string" } },
            "reuse": { "description": "Upgrade the connection of the request before.", "type": "boolean" },
            "body": { "description": "Body of the request.", "$ref": "#/$defs/payload" },
            "binary": { "description": "Send it as binary.", "type": "boolean" },
            "steps": { "description": "The steps to repeat.", "type": "array", "minItems": 1,
                "items": { "$ref": "#/$defs/step" } },
        },
    });
    vec![
        ("step", step),
        ("payload", payload),
        ("match", matching),
        ("headers", headers),
        ("take", take),
        ("time", time),
    ]
}
