//! Against what the vendors publish: their OpenAPI documents, served by Prism, and their own SDKs for Python.
//!
//! Neither plays a conversation: how statuses follow each other, and when, rests on documents alone, as do the webhooks of
//! the Messages API but for their tokens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use rivvi_core::clock::SystemClock;
use rivvi_core::domain::{CallId, Secret, Sender};
use rivvi_core::provider::{
    Delivery, FindSms, ProviderErrorKind, SendSms, SmsLookup, SmsProvider, WebhookError, WebhookRequest,
};
use rivvi_core::testkit::build;
use rivvi_provider_sms::{
    VonageApplication, VonageCredentials, VonageMessages, VonageMessagesOptions, VonageSignature,
    VonageSignatureMethod,
};
use serde_json::{Value, json};
use support::{FORM, form, params, post, twilio, vonage};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run scripts/test, or eval \"$(scripts/services env)\"")
    })
}

fn client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// Asks the server around the vendors' SDKs.
async fn sdk(verb: &str, asked: Value) -> Value {
    let url = format!("{}/sms/{verb}", variable("RIVVI_TEST_VENDOR_SDKS"));
    let answer: Value = client().post(url).json(&asked).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"], Value::Null, "{verb}");
    answer
}

/// Messages of every kind: short and long, of both alphabets, from every kind of sender.
fn requests() -> Vec<SendSms> {
    let long = "ש".repeat(200);
    [("+97231234567", build::SMS_TEXT), ("Clinic", "hello"), ("12345", long.as_str())]
        .into_iter()
        .zip(1..)
        .map(|((from, text), n)| {
            let mut request = build::send_sms(n);
            request.from = Sender::new(from).unwrap();
            request.text = text.to_owned().into();
            request
        })
        .collect()
}

mod prism {
    use super::*;

    #[tokio::test]
    async fn messages_are_what_twilios_document_allows() {
        let twilio = twilio::provider(twilio::options(variable("RIVVI_TEST_PRISM_TWILIO")));
        for request in requests() {
            let reference = twilio.send_sms(&request).await.unwrap().reference.unwrap();
            assert!(reference.starts_with("SM"), "{reference}");
            let (message_id, to, intended_at) = (request.message_id, request.to, build::start());
            let query = FindSms { message_id, to, intended_at, reference: Some(reference) };
            let SmsLookup::Found(updates) = twilio.find_sms(&query).await.unwrap() else {
                panic!("it is found")
            };
            assert_eq!(updates.len(), 3, "accepted, state and price");
        }
        let mut options = twilio::options(variable("RIVVI_TEST_PRISM_TWILIO"));
        options.messaging_service_sid = Some(format!("MG{:032x}", 1));
        assert!(twilio::provider(options).send_sms(&build::send_sms(1)).await.is_ok());
    }

    #[tokio::test]
    async fn messages_are_what_vonages_document_allows() {
        let mut options = vonage::sms_options(variable("RIVVI_TEST_PRISM_VONAGE"));
        options.webhook_url = Some("https://hooks.example.com/vonage".into());
        let vonage = vonage::sms(options);
        for request in requests() {
            let sent = vonage.send_sms(&request).await.unwrap();
            assert!(sent.reference.is_some_and(|reference| !reference.is_empty()));
            assert!(sent.cost.is_some());
        }
    }

    /// Prism checks bodies: what the documents do not allow is refused, so what passes above is allowed.
    #[tokio::test]
    async fn the_counterparts_refuse_what_the_documents_do_not_allow() {
        let twilio = format!(
            "{}/2010-04-01/Accounts/{}/Messages.json",
            variable("RIVVI_TEST_PRISM_TWILIO"),
            twilio::SID
        );
        let vonage = format!("{}/sms/json", variable("RIVVI_TEST_PRISM_VONAGE"));
        let good = form([("api_key", "abcd1234"), ("from", "a"), ("to", "447700900000"), ("ttl", "20000")]);
        for (url, body, auth, status) in [
            (&twilio, "To=%2B15558675310&From=%2B15017122661&Body=a".to_owned(), true, 201),
            (&twilio, "To=%2B15558675310&From=%2B15017122661&Body=a".to_owned(), false, 401),
            (&twilio, "From=%2B15017122661&Body=a".to_owned(), true, 422),
            (&twilio, "To=%2B15558675310&ValidityPeriod=long".to_owned(), true, 422),
            (&vonage, good.clone(), false, 200),
            (&vonage, good.replace("abcd1234", "short"), false, 422),
            (&vonage, good.replace("447700900000", "abc"), false, 422),
            (&vonage, good.replace("20000", "7"), false, 422),
            (&vonage, format!("{good}&type=magic"), false, 422),
        ] {
            let mut request = client().post(url).header("content-type", FORM).body(body.clone());
            if auth {
                request = request.basic_auth(twilio::SID, Some(twilio::TOKEN));
            }
            assert_eq!(request.send().await.unwrap().status(), status, "{body}");
        }
    }

    #[tokio::test]
    async fn refusals_of_the_counterpart_are_told_for_what_they_are() {
        let mut options = twilio::options(variable("RIVVI_TEST_PRISM_TWILIO"));
        options.messaging_service_sid = Some("MG1".into());
        let error = twilio::provider(options).send_sms(&build::send_sms(1)).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (ProviderErrorKind::InvalidRequest, Delivery::NotSent));
    }
}

mod sdks {
    use super::*;

    const ALGORITHMS: [&str; 2] = ["HMAC_SHA1", "HMAC_SHA256"];
    const SHARED: &str = "webhooks_sharedkey_1";

    fn twilio_with_key() -> impl SmsProvider {
        let mut options = twilio::options("http://127.0.0.1:9".into());
        options.shared_keys.insert(SHARED.into(), Secret::new(twilio::TOKEN));
        twilio::provider(options)
    }

    #[tokio::test]
    async fn webhooks_signed_by_twilios_sdk_are_taken() {
        let twilio = twilio_with_key();
        let id = build::unknown_call_id(1);
        let query = format!("?message_id={id}");
        let fields = [
            ("MessageSid", "SM1"),
            ("MessageStatus", "undelivered"),
            ("ErrorCode", "30006"),
            ("שם", "דנה & = +"),
        ];
        for algorithm in ALGORITHMS {
            let params: BTreeMap<_, _> = fields.into_iter().collect();
            let asked = |token: &str| {
                let url = format!("{}{query}", twilio::PUBLIC);
                json!({ "token": token, "url": url, "params": params, "algorithm": algorithm })
            };
            for (token, taken) in [(twilio::TOKEN, true), ("another", false)] {
                let signed = sdk("twilio_sign", asked(token)).await;
                let mut request = post(&format!("/any{query}"), FORM, form(fields));
                let signature = signed["signature"].as_str().unwrap().parse().unwrap();
                request.headers_mut().insert("x-twilio-signature", signature);
                let settings = format!("key={SHARED},algorithm={algorithm}").parse().unwrap();
                request.headers_mut().insert("x-twilio-webhooks-signature-settings", settings);
                let news = twilio.decode_webhook(&request, build::start());
                if taken {
                    assert_eq!(news.unwrap().updates.len(), 2);
                } else {
                    assert!(matches!(news, Err(WebhookError::Forged)));
                }
            }
        }
    }

    /// What other tests sign by themselves is signed as the vendor's SDK wants it.
    #[tokio::test]
    async fn twilios_sdk_takes_what_our_tests_sign() {
        let fields = [("Body", "הסר & = +"), ("From", "+972541234567"), ("To", "+97231234567")];
        let webhook = twilio::signed("?message_id=1", &fields);
        let signature = webhook.headers()["x-twilio-signature"].to_str().unwrap();
        let url = format!("{}?message_id=1", twilio::PUBLIC);
        for (token, verified) in [(twilio::TOKEN, true), ("another", false)] {
            let asked = json!({
                "token": token, "url": url, "params": params(webhook.body()), "signature": signature,
                "algorithm": "HMAC_SHA1",
            });
            assert_eq!(sdk("twilio_verify", asked).await["verified"], verified);
        }
    }

    #[tokio::test]
    async fn webhooks_signed_by_vonages_sdk_are_taken() {
        let now = vonage::now();
        let methods = [
            ("md5", VonageSignatureMethod::HmacMd5),
            ("sha1", VonageSignatureMethod::HmacSha1),
            ("sha256", VonageSignatureMethod::HmacSha256),
            ("sha512", VonageSignatureMethod::HmacSha512),
        ];
        let seconds = now.timestamp().to_string();
        let fields = [
            ("msisdn", "972541234567"),
            ("to", "97231234567"),
            ("messageId", "0A1"),
            ("text", "הסר & = +"),
            ("type", "unicode"),
            ("timestamp", seconds.as_str()),
        ];
        for (name, method) in methods {
            let mut options = vonage::sms_options("http://127.0.0.1:9".into());
            let secret = Secret::new(vonage::SIGNATURE_SECRET);
            options.signature = Some(VonageSignature { secret, method });
            let vonage = vonage::sms(options);
            for (secret, taken) in [(vonage::SIGNATURE_SECRET, true), ("another", false)] {
                let params: BTreeMap<_, _> = fields.into_iter().collect();
                let asked = json!({ "secret": secret, "method": name, "params": params });
                let signature = sdk("vonage_sign", asked).await["signature"].as_str().unwrap().to_uppercase();
                let signed = fields.into_iter().chain([("sig", signature.as_str())]);
                let json: BTreeMap<_, _> = signed.clone().collect();
                for request in [
                    post("/any", FORM, form(signed.clone())),
                    post("/any", "application/json", serde_json::to_string(&json).unwrap()),
                ] {
                    let news = vonage.decode_webhook(&request, now);
                    if taken {
                        assert_eq!(news.unwrap().inbound[0].text.expose(), "הסר & = +");
                    } else {
                        assert!(matches!(news, Err(WebhookError::Forged)), "{name}");
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn vonages_sdk_takes_what_we_and_our_tests_sign() {
        let fields = [("messageId", "0A1"), ("text", "הסר & = +")];
        let webhook = vonage::signed_form(&fields, vonage::now());
        for (secret, verified) in [(vonage::SIGNATURE_SECRET, true), ("another", false)] {
            let asked = json!({ "secret": secret, "method": "sha256", "params": params(webhook.body()) });
            assert_eq!(sdk("vonage_verify", asked).await["verified"], verified);
        }
        let webhook = vonage::signed_json(&json!({ "status": "delivered" }), vonage::now());
        let token = webhook.headers()["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        for (secret, verified) in
            [(vonage::SIGNATURE_SECRET, true), ("another secret of at least 32 bytes", false)]
        {
            let asked = json!({ "secret": secret, "token": token });
            assert_eq!(sdk("vonage_token", asked).await["verified"], verified);
        }
        // Requests that are signed.
        let far = vonage::sms_far().await;
        let mut options = vonage::sms_options(far.side.url());
        options.sign_requests = true;
        let refused = vonage::sms(options).send_sms(&build::send_sms(1)).await;
        assert!(refused.is_err(), "the far side of the tests wants the secret");
        let sent = params(far.side.requests()[0].body());
        let asked = json!({ "secret": vonage::SIGNATURE_SECRET, "method": "sha256", "params": sent });
        assert_eq!(sdk("vonage_verify", asked).await["verified"], true);
    }

    #[tokio::test]
    async fn tokens_made_by_vonages_libraries_are_taken() {
        let vonage = vonage::messages(vonage::messages_options("http://127.0.0.1:9".into()));
        let now = vonage::now();
        let signed = vonage::signed_json(
            &json!({ "message_uuid": "a", "status": "rejected", "error": { "title": 1240 } }),
            now,
        );
        let ours = signed.headers()["authorization"].to_str().unwrap();
        let claims = ours.split('.').nth(1).unwrap();
        let claims =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let with = |token: &str| -> WebhookRequest {
            let mut request = signed.clone();
            let mut headers = HeaderMap::new();
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            *request.headers_mut() = headers;
            request
        };
        for (secret, taken) in
            [(vonage::SIGNATURE_SECRET, true), ("another secret of at least 32 bytes", false)]
        {
            let made = sdk("make_token", json!({ "claims": claims, "secret": secret })).await;
            let news = vonage.decode_webhook(&with(made["token"].as_str().unwrap()), now);
            assert_eq!(news.is_ok(), taken);
        }
    }

    #[tokio::test]
    async fn requests_are_what_vonages_sdk_would_send() {
        let far = vonage::sms_far().await;
        let mut options = vonage::sms_options(far.side.url());
        options.webhook_url = Some("https://hooks.example.com/vonage".into());
        let vonage_sms = vonage::sms(options);
        let messages_far = vonage::messages_far().await;
        let mut options = vonage::messages_options(messages_far.side.url());
        options.webhook_url = Some("https://hooks.example.com/vonage".into());
        let vonage_messages = vonage::messages(options);
        for request in requests() {
            vonage_sms.send_sms(&request).await.unwrap();
            vonage_messages.send_sms(&request).await.unwrap();
        }
        for sent in far.side.requests() {
            let checked = sdk("vonage_sms", json!({ "params": params(sent.body()) })).await;
            assert_eq!(checked["problem"], Value::Null);
        }
        for sent in messages_far.side.requests() {
            let body: Value = serde_json::from_slice(sent.body()).unwrap();
            assert_eq!(sdk("vonage_message", json!({ "body": body })).await["problem"], Value::Null);
        }
        for (verb, asked) in [
            ("vonage_sms", json!({ "params": { "to": "1", "from": "a", "text": "b", "ttl": "7" } })),
            ("vonage_sms", json!({ "params": { "to": "1", "from": "a", "text": "b", "more": "7" } })),
            ("vonage_message", json!({ "body": { "to": "+1", "from": "a", "text": "b" } })),
        ] {
            assert_ne!(sdk(verb, asked).await["problem"], Value::Null, "the types are checked");
        }
    }

    /// What an application signs, its public key verifies.
    #[tokio::test]
    async fn requests_of_an_application_have_a_token_of_their_own() {
        let key = sdk("make_key", json!({})).await;
        let private_key = Secret::new(key["private"].as_str().unwrap());
        let id = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab".to_owned();
        let credentials = VonageCredentials::Application(VonageApplication { id: id.clone(), private_key });
        let far = vonage::messages_far().await;
        let mut options = VonageMessagesOptions::new(credentials);
        options.base_url = far.side.url();
        let vonage = VonageMessages::new(options, Arc::new(SystemClock::new())).unwrap();
        let mut ids: Vec<Value> = Vec::new();
        for n in 1..=2 {
            let error = vonage.send_sms(&build::send_sms(n)).await.unwrap_err();
            assert_eq!(error.kind, ProviderErrorKind::Unauthorized, "the far side of the tests knows no key");
        }
        for sent in far.side.requests() {
            let token = sent.headers()["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
            let read = sdk("read_token", json!({ "token": token, "public": key["public"] })).await;
            let claims = &read["claims"];
            assert_eq!(claims["application_id"], id);
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
            assert!(claims["jti"].as_str().unwrap().parse::<CallId>().is_ok());
            ids.push(claims["jti"].clone());
        }
        assert_ne!(ids[0], ids[1]);
    }
}
