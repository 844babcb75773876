//! Templates of requests: URL, headers and body, with the values of a message written as the place asks.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, context};
use reqwest::Url;
use rivvi_core::domain::{CallId, E164, MessageEncoding, MessageSize, Secret, Sender};
use rivvi_core::message::language::{self, BoundedText};
use rivvi_core::provider::SendSms;

use super::config::{BodyKind, ConfigError, Method as ConfigMethod, RequestConfig};

/// What rendering one template may cost, in instructions.
const FUEL: u64 = 10_000;
/// The longest text that a template gives, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

const URL: &str = "request.url";
const BODY: &str = "request.template";
const HEADERS: &str = "request.headers.";

/// The templates of a gateway, checked.
pub(super) struct Templates {
    environment: Environment<'static>,
    method: Method,
    headers: Vec<HeaderName>,
    content_type: HeaderValue,
    has_body: bool,
    secrets: Value,
}

/// A request as it is sent.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl Templates {
    /// Reads the templates, and renders them for a message with awkward characters.
    pub(super) fn new(
        config: &RequestConfig,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Self, ConfigError> {
        let mut environment = language::environment(FUEL);
        let kind = config.body;
        environment.set_auto_escape_callback(move |name| place(name, kind));
        environment.set_formatter(write);
        let mut add = |name: String, source: &str| {
            let added = environment.add_template_owned(name.clone(), source.to_owned());
            added.map_err(|error| ConfigError::new(name.clone(), explain(&error)))?;
            language::problem(source).map_or(Ok(()), |problem| Err(ConfigError::new(name, problem)))
        };
        add(URL.into(), &config.url)?;
        if let Some(template) = &config.template {
            add(BODY.into(), template)?;
        }
        let mut headers = Vec::new();
        for (name, source) in &config.headers {
            let key = format!("{HEADERS}{}", name.to_ascii_lowercase());
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| ConfigError::new(key.clone(), "expected the name of a header"))?;
            add(key, source)?;
            headers.push(name);
        }
        let method = match config.method {
            ConfigMethod::Get => Method::GET,
            ConfigMethod::Post => Method::POST,
            ConfigMethod::Put => Method::PUT,
        };
        let content_type = HeaderValue::from_static(match kind {
            BodyKind::Json => "application/json",
            BodyKind::Form => "application/x-www-form-urlencoded",
            BodyKind::Xml => "application/xml; charset=utf-8",
            BodyKind::Plain => "text/plain; charset=utf-8",
        });
        let secrets = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let has_body = config.template.is_some();
        let templates = Self { environment, method, headers, content_type, has_body, secrets };
        templates.try_out(kind)?;
        Ok(templates)
    }

    fn try_out(&self, kind: BodyKind) -> Result<(), ConfigError> {
        for request in samples() {
            let rendered = self.render(&request)?;
            let body = rendered.body.as_deref().filter(|_| kind == BodyKind::Json);
            if let Some(Err(error)) = body.map(serde_json::from_slice::<serde_json::Value>) {
                let (line, column) = (error.line(), error.column());
                let problem = format!(
                    "expected JSON once it is filled in (placeholders within quotes); line {line}, column {column} is not"
                );
                return Err(ConfigError::new(BODY, problem));
            }
        }
        Ok(())
    }

    /// The request for a message.
    ///
    /// # Errors
    /// Names the template. Nothing of the message is in the error.
    pub(super) fn render(&self, request: &SendSms) -> Result<Rendered, ConfigError> {
        let values = self.values(request);
        let url = self.fill(URL, &values)?;
        let url =
            Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| ConfigError::new(URL, "expected http:// or https:// and a host"))?;
        let mut headers = HeaderMap::new();
        if self.has_body {
            headers.insert(CONTENT_TYPE, self.content_type.clone());
        }
        for name in &self.headers {
            let key = format!("{HEADERS}{name}");
            let text = self.fill(&key, &values)?;
            let value = HeaderValue::from_bytes(text.as_bytes());
            let mut value =
                value.map_err(|_| ConfigError::new(key, "expected a line without control characters"))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let body = if self.has_body { Some(Bytes::from(self.fill(BODY, &values)?)) } else { None };
        Ok(Rendered { method: self.method.clone(), url, headers, body })
    }

    fn fill(&self, name: &str, values: &Value) -> Result<String, ConfigError> {
        let template = self.environment.get_template(name);
        let mut text = BoundedText::new(BODY_BYTES_MAX);
        let filled = template.and_then(|template| template.render_captured_to(values, &mut text).map(drop));
        match filled {
            Ok(()) => Ok(text.into_text()),
            Err(error) if error.kind() == ErrorKind::WriteFailure => {
                Err(ConfigError::new(name, "expected at most 256 KiB once it is filled in"))
            }
            Err(error) => Err(ConfigError::new(name, explain(&error))),
        }
    }

    /// What templates may use. All but `unicode`, `parts` and `valid_s` are texts.
    fn values(&self, request: &SendSms) -> Value {
        let size = MessageSize::of(request.text.expose());
        let from = request.from.expose();
        context! {
            id => request.message_id.to_string(),
            org_id => request.org_id.to_string(),
            campaign_id => request.campaign_id.to_string(),
            run_id => request.run_id.to_string(),
            contact_id => request.contact_id.to_string(),
            to => request.to.expose(),
            to_digits => request.to.digits().to_string(),
            from => from,
            from_digits => from.trim_start_matches('+'),
            text => request.text.expose(),
            unicode => size.encoding == MessageEncoding::Ucs2,
            parts => size.parts,
            valid_s => request.valid_for.as_secs(),
            secret => self.secrets.clone(),
        }
    }
}

/// What went wrong with a template, without what stands in it.
fn explain(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let kind = error.kind();
    // Details may show values; those of syntax show the template alone.
    match error.detail().filter(|_| kind == ErrorKind::SyntaxError) {
        Some(detail) => format!("{line}{kind}: {detail}"),
        None if kind == ErrorKind::UndefinedError => {
            format!(
                "{line}{kind}: expected a value such as to, from, text, id, or secret.NAME of a secret that is given"
            )
        }
        None => format!("{line}{kind}"),
    }
}

/// How values are written in a template.
fn place(name: &str, kind: BodyKind) -> AutoEscape {
    match (name, kind) {
        (URL, _) | (BODY, BodyKind::Form) => AutoEscape::Custom("percent"),
        (BODY, BodyKind::Json) => AutoEscape::Custom("json"),
        (BODY, BodyKind::Xml) => AutoEscape::Custom("xml"),
        _ => AutoEscape::None,
    }
}

/// Writes a value as its place asks.
fn write(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let text = match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        _ => value.to_string(),
    };
    let written = match state.auto_escape() {
        AutoEscape::Custom("json") => within_json(&text),
        AutoEscape::Custom("percent") => percent_encoded(&text),
        AutoEscape::Custom("xml") => within_xml(&text),
        _ => text,
    };
    out.write_str(&written).map_err(minijinja::Error::from)
}

/// As it stands between the quotes of a text in JSON.
fn within_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As it stands in a query, a form or a segment of a path.
fn percent_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// As it stands in an element or an attribute of XML, which has no place for control characters.
fn within_xml(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\'' => written.push_str("&apos;"),
            '\t' | '\n' | '\r' => written.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => written.push(' '),
            c => written.push(c),
        }
    }
    written
}

/// Messages to try templates with: one from a number, one from a name.
fn samples() -> Vec<SendSms> {
    let text = "שלום \"&<>' \\ {{ x }}\r\n\u{1f98a}";
    let id = CallId::from_uuid(uuid::Uuid::nil());
    let to = E164::from_digits(972_541_234_567);
    let senders = [Sender::new("+97231234567"), Sender::new("Clinic")];
    senders.into_iter().filter_map(|from| Some(SendSms::new(id, to?, from?, text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(toml: &str) -> Result<Templates, ConfigError> {
        let config = toml::from_str(toml).unwrap();
        let secrets = BTreeMap::from([("token".to_owned(), Secret::new("t0p"))]);
        Templates::new(&config, &secrets)
    }

    fn rendered(toml: &str) -> Rendered {
        templates(toml).unwrap().render(&samples()[0]).unwrap()
    }

    #[test]
    fn values_are_written_as_their_place_asks() {
        let url = "url = 'https://a.example/{{ to_digits }}?text={{ text }}&from={{ from }}'";
        let text = "%D7%A9%D7%9C%D7%95%D7%9D%20%22%26%3C%3E%27%20%5C%20%7B%7B%20x%20%7D%7D%0D%0A%F0%9F%A6%8A";
        let request = rendered(&format!("{url}\nmethod = 'GET'"));
        let expected = format!("https://a.example/972541234567?text={text}&from=%2B97231234567");
        assert_eq!((request.url.as_str(), request.method), (expected.as_str(), Method::GET));
        assert!(request.body.is_none() && request.headers.is_empty());
        for (kind, template, expected) in [
            (
                "json",
                r#"{"text": "{{ text }}", "n": {{ parts }}, "unicode": {{ unicode }}}"#,
                "{\"text\": \"שלום \\\"&<>' \\\\ {{ x }}\\r\\n\u{1f98a}\", \"n\": 1, \"unicode\": true}",
            ),
            ("form", "to={{ to }}&text={{ text }}", &format!("to=%2B972541234567&text={text}")),
            (
                "xml",
                "<t a=\"{{ text }}\">{{ parts }}</t>",
                "<t a=\"שלום &quot;&amp;&lt;&gt;&apos; \\ {{ x }}\r\n\u{1f98a}\">1</t>",
            ),
            ("plain", "{{ text }}", "שלום \"&<>' \\ {{ x }}\r\n\u{1f98a}"),
        ] {
            let request = rendered(&format!("{url}\nbody = '{kind}'\ntemplate = '''{template}'''"));
            assert_eq!(request.body.unwrap(), expected.as_bytes(), "{kind}");
        }
        assert_eq!(within_xml("a\u{0}\u{1b}b"), "a  b");
    }

    #[test]
    fn headers_have_secrets_and_hide_them() {
        let request = rendered(
            "url = 'https://a.example'\ntemplate = '{}'\n\
            headers = { Authorization = 'Bearer {{ secret.token }}', Content-Type = 'application/vnd.x+json' }",
        );
        assert_eq!(request.headers["authorization"], "Bearer t0p");
        assert_eq!(request.headers["content-type"], "application/vnd.x+json");
        assert!(!format!("{request:?}").contains("t0p"));
    }

    #[test]
    fn templates_may_choose_and_cut() {
        let template = "template = '''\"{% if to_digits[:3] == \"972\" %}0{{ to_digits[3:] }}{% else %}{{ to }}{% endif %}\"'''";
        let request = rendered(&format!("url = 'https://a.example'\n{template}"));
        assert_eq!(request.body.unwrap(), "\"0541234567\"");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        let good = "url = 'https://a.example'";
        for (toml, key) in [
            ("url = '/send'".to_owned(), "request.url"),
            ("url = 'ftp://a.example'".to_owned(), "request.url"),
            ("url = 'https://a.example/{{ nobody }}'".to_owned(), "request.url"),
            ("url = 'https://a.example/{{ to '".to_owned(), "request.url"),
            (format!("{good}\ntemplate = '{{\"text\": {{{{ text }}}}}}'"), "request.template"),
            (format!("{good}\nbody = 'plain'\ntemplate = '{{{{ secret.other }}}}'"), "request.template"),
            (
                format!(
                    "{good}\nbody = 'plain'\ntemplate = '{{% for i in range(9999) %}}{{{{ i }}}}{{% endfor %}}'"
                ),
                "request.template",
            ),
            (format!("{good}\nheaders = {{ 'x y' = '' }}"), "request.headers.x y"),
            (format!("{good}\nheaders = {{ X = '{{{{ text }}}}' }}"), "request.headers.x"),
        ] {
            let error = templates(&toml).err().unwrap();
            assert_eq!(error.key, key, "{error}");
        }
    }
}
