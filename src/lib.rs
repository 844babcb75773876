//! **Rivvi** is an embeddable calling-campaign engine: a host hands it a contact sheet and a campaign; Rivvi decides
//! who may be contacted now, places the calls through pluggable providers, records every outcome, follows up, and
//! finishes the run, without ever dialling someone it should not and without losing a result.
//!
//! This crate only gathers the others: everything of [`rivvi_core`], each provider and each store behind a feature.
//!
//! | feature | gives |
//! |---|---|
//! | `sqlite` (default) | [`stores::SqliteStorage`], everything in one file |
//! | `postgres` | `stores::PostgresStorage`, one database for any number of nodes |
//! | `dynamo` | [`stores::DynamoStorage`](https://docs.rs/rivvi-storage-dynamo), everything in DynamoDB, for hosts without servers |
//! | `redis` | [`redis`], pacing and wake-ups shared by several nodes |
//! | `retell` | `providers::Retell`, calls led by Retell AI agents |
//! | `sms` | `providers::{VonageSms, VonageMessages, TwilioSms, HttpSms}`, text messages |
//! | `sim` (default) | [`providers::SimulatedNetwork`], a phone network that is not there |
//! | `asterisk` | `providers::Asterisk`, calls on Asterisk servers |
//! | `espeak` | `providers::Espeak`, speech synthesis by espeak-ng |
//! | `polly` | `providers::Polly`, speech synthesis by Amazon Polly |
//! | `ses` | `providers::Ses`, e-mail by Amazon SES |
//! | `smtp` | `providers::Smtp`, e-mail by an SMTP server |
//! | `s3` | `object_store::aws` in [`storage::object_store`], for [`storage::Blobs`] on S3 |
//! | `testkit` | [`testkit`], conformance suites and doubles for authors of stores and providers |
//!
//! ```text
//!  sheet ─▶ import ─▶ ledger ─▶ dispatcher ─▶ policy ─▶ intent ─▶ provider
//!                       ▲                                            │
//!                       └────────── settle ◀── intake ◀── updates ───┘
//! ```
//!
//! A campaign from sheet to report, in virtual time, at a phone network that is not there:
//!
//! ```
//! # #[cfg(feature = "sim")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use rivvi::Rivvi;
//! use rivvi::clock::VirtualClock;
//! use rivvi::domain::{CallerId, CampaignDefinition, E164, Region};
//! use rivvi::engine::NewOrganization;
//! use rivvi::import::Sheet;
//! use rivvi::providers::{Behaviour, SimulatedNetwork};
//! use rivvi::storage::Storage;
//!
//! let clock = Arc::new(VirtualClock::new("2026-03-02T07:00:00Z".parse()?));
//! let network = SimulatedNetwork::new(clock.clone(), 1, Behaviour::default());
//! let rivvi =
//!     Rivvi::builder().storage(Storage::in_memory()).voice(network.clone()).clock(clock.clone()).build()?;
//!
//! let organization = rivvi
//!     .organizations()
//!     .create(NewOrganization {
//!         name: "North Clinic".into(),
//!         caller_id: CallerId(E164::from_e164("+97231234567")?),
//!         time_zone: chrono_tz::Asia::Jerusalem,
//!         region: Region::new("IL")?,
//!     })
//!     .await?;
//! let definition = CampaignDefinition::from_toml("name = 'Reminder'\nchannel = 'voice'")?;
//! let campaign = rivvi.campaigns().create(organization.id, definition).await?;
//! let sheet = Sheet::from_bytes("people.csv", "name,phone\nDana,052-2000001\nNoa,052-2000002\n")?;
//! let run = rivvi.runs().import(campaign.id, sheet).await?;
//! assert_eq!(run.report.imported, 2);
//!
//! rivvi.runs().start(run.id).await?;
//! while network.step(&rivvi, &clock).await? {}
//! let report = rivvi.runs().report(run.id).await?.expect("the run is over");
//! assert_eq!(report.tally.settled(), 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sim"))]
//! # fn main() {}
//! ```

pub use rivvi_core::{
    clock, domain, engine, flow, import, limit, machine, message, policy, provider, speech, storage,
};

#[cfg(feature = "testkit")]
pub use rivvi_core::{
    blobs_conformance, email_conformance, limiter_conformance, sms_conformance, speech_conformance,
    storage_conformance, testkit, voice_conformance,
};

pub use rivvi_core::engine::Rivvi;

/// Providers of this repository, one feature each.
pub mod providers {
    #[cfg(feature = "asterisk")]
    pub use rivvi_provider_asterisk::{
        Asterisk, AsteriskOptions, AsteriskOptionsError, AsteriskServer, Hearing, Orphans, ServerStatus,
        Speech, SpeechMedia,
    };
    #[cfg(feature = "espeak")]
    pub use rivvi_provider_espeak::Espeak;
    #[cfg(feature = "polly")]
    pub use rivvi_provider_polly::{
        Polly, PollyEngine, PollyOptions, PollyPrices, UnknownEngine as UnknownPollyEngine,
    };
    #[cfg(feature = "retell")]
    pub use rivvi_provider_retell::{
        Concurrency as RetellConcurrency, OptionsError as RetellOptionsError, Retell, RetellOptions,
    };
    #[cfg(feature = "ses")]
    pub use rivvi_provider_ses::{MESSAGE_ID_TAG as SES_MESSAGE_ID_TAG, Ses, SesOptions};
    #[cfg(feature = "sim")]
    pub use rivvi_provider_sim::{
        Behaviour, GatewayBehaviour, Leg, SentMessage, SimulatedGateway, SimulatedNetwork,
    };
    #[cfg(feature = "sms")]
    pub use rivvi_provider_sms::{
        ConfigError as HttpSmsConfigError, HttpSms, HttpSmsConfig, OptionsError as SmsOptionsError, SmsTerms,
        TwilioApiKey, TwilioOptions, TwilioSms, VonageApplication, VonageCredentials, VonageMessages,
        VonageMessagesOptions, VonageSignature, VonageSignatureMethod, VonageSms, VonageSmsOptions,
    };
    #[cfg(feature = "smtp")]
    pub use rivvi_provider_smtp::{Smtp, SmtpOptions, SmtpOptionsError, SmtpSecurity};
}

/// Stores of this repository, one feature each.
pub mod stores {
    pub use rivvi_core::storage::memory::MemoryStorage;
    #[cfg(feature = "dynamo")]
    pub use rivvi_storage_dynamo::{
        DynamoStorage, Options as DynamoOptions, TableOptions as DynamoTableOptions,
    };
    #[cfg(feature = "postgres")]
    pub use rivvi_storage_postgres::{PostgresOptions, PostgresStorage, PostgresWakeups};
    #[cfg(feature = "sqlite")]
    pub use rivvi_storage_sqlite::SqliteStorage;
}

/// What several nodes share through Redis.
#[cfg(feature = "redis")]
pub use rivvi_storage_redis as redis;

/// The example of the README, compiled.
#[cfg(all(doctest, feature = "sqlite", feature = "sim"))]
#[doc = include_str!("../README.md")]
struct Readme;
