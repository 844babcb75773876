//! Named values, as they come in a query, a form, or a flat object of JSON.

use serde_json::Value;

/// Named values in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Of a query or the body of a form.
    pub(crate) fn of_form(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// Of an object of JSON, whose values are taken as texts; `None` if it is something else.
    pub(crate) fn of_json(bytes: &[u8]) -> Option<Self> {
        let Value::Object(object) = serde_json::from_slice(bytes).ok()? else { return None };
        let text = |value| match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Some(Self(object.into_iter().map(|(name, value)| (name, text(value))).collect()))
    }

    /// The first value of a name, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.any(name).filter(|value| !value.is_empty())
    }

    /// The first value of a name.
    pub(crate) fn any(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(own, value)| (own == name).then_some(value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_objects_give_the_same() {
        let form = Params::of_form(b"text=Tom+%26+Jerry&concat=true&empty=&n=1");
        let json = br#"{"text":"Tom & Jerry","concat":true,"empty":null,"n":1}"#;
        let json = Params::of_json(json).unwrap();
        for params in [form, json] {
            assert_eq!(params.get("text"), Some("Tom & Jerry"));
            assert_eq!(params.get("concat"), Some("true"));
            assert_eq!((params.get("empty"), params.any("empty")), (None, Some("")));
            assert_eq!((params.get("n"), params.any("nobody")), (Some("1"), None));
        }
        for other in [&b"[]"[..], b"7", b"{", b""] {
            assert_eq!(Params::of_json(other), None);
        }
    }
}
