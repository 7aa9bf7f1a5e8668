//! As much of JSON Schema as the report's uses; a keyword it does not know is an error, so that nothing goes unchecked.

use serde_json::{Map, Value};

/// Where and why `value` is not what `schema` says.
pub(super) fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    check(schema, schema, value, "")
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Value::Object(schema) = schema else { return Err(format!("{path}: a schema that is no object")) };
    for (keyword, rule) in schema {
        if !holds(root, schema, keyword, rule, value, path)? {
            return Err(format!("{path}: {keyword}"));
        }
    }
    Ok(())
}

fn holds(
    root: &Value,
    schema: &Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
    path: &str,
) -> Result<bool, String> {
    let matches = |schema: &Value| check(root, schema, value, path).is_ok();
    let rules = || rule.as_array().into_iter().flatten();
    Ok(match keyword {
        // `format` is an annotation unless asked for; the sizes of integers are Rust's own.
        "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        "$ref" => {
            let pointer = rule.as_str().and_then(|rule| rule.strip_prefix('#')).unwrap_or("missing");
            check(root, root.pointer(pointer).unwrap_or(&Value::Null), value, path)?;
            true
        }
        "type" if rule.is_array() => rules().any(|rule| is_type(rule, value)),
        "type" => is_type(rule, value),
        "const" => rule == value,
        "enum" => rules().any(|rule| rule == value),
        "oneOf" => rules().filter(|schema| matches(schema)).count() == 1,
        "anyOf" => rules().any(matches),
        "minimum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(value, least)| value >= least),
        "required" => {
            for name in rules().filter_map(Value::as_str) {
                value.get(name).ok_or_else(|| format!("{path}: required {name}"))?;
            }
            true
        }
        "items" => {
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                check(root, rule, item, &format!("{path}/{index}"))?;
            }
            true
        }
        "properties" | "additionalProperties" => {
            properties(root, schema, keyword, rule, value, path)?;
            true
        }
        unknown => return Err(format!("{path}: keyword {unknown} is not checked")),
    })
}

fn properties(
    root: &Value,
    schema: &Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
    path: &str,
) -> Result<(), String> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let named = schema.get("properties").and_then(|properties| properties.get(name));
        let rule = match (keyword, named) {
            ("properties", Some(named)) => named,
            ("additionalProperties", None) => rule,
            _ => continue,
        };
        check(root, rule, member, &format!("{path}/{name}"))?;
    }
    Ok(())
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("string") => value.is_string(),
        _ => false,
    }
}
