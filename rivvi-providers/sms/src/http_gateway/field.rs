//! Where a value stands in an answer or a webhook.

use serde::Deserialize;
use serde_json::Value;

/// A JSON pointer (RFC 6901) such as `/message/id`, or a plain name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Field(String);

impl TryFrom<String> for Field {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let escapes = text.split('~').skip(1);
        if text.is_empty() || escapes.into_iter().any(|rest| !rest.starts_with(['0', '1'])) {
            return Err("expected a JSON pointer such as \"/message/id\", or a name such as \"id\"");
        }
        Ok(Self(text))
    }
}

impl Field {
    /// The value as a text, if it is a text that is not empty, a number or a truth.
    pub(super) fn of(&self, value: &Value) -> Option<String> {
        self.any(value).filter(|text| !text.is_empty())
    }

    /// The value as a text, which may be empty.
    pub(super) fn any(&self, value: &Value) -> Option<String> {
        let found = if self.0.starts_with('/') { value.pointer(&self.0) } else { value.get(&self.0) };
        match found? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_by_pointer_or_name() {
        let value = json!({ "a": { "b": [1, "x"] }, "id": "7", "a/b": true, "empty": "", "none": null });
        let of = |text: &str| Field::try_from(text.to_owned()).unwrap().of(&value);
        for (field, expected) in [
            ("/a/b/0", Some("1")),
            ("/a/b/1", Some("x")),
            ("/id", Some("7")),
            ("id", Some("7")),
            ("/a~1b", Some("true")),
            ("a/b", Some("true")),
            ("/a", None),
            ("empty", None),
            ("none", None),
            ("/a/b/9", None),
        ] {
            assert_eq!(of(field).as_deref(), expected, "{field}");
        }
        for wrong in ["", "/a~", "/a~2"] {
            assert!(Field::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
