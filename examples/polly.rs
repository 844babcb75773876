//! Speaks a text by Amazon Polly into a file.
//!
//! ```sh
//! cargo run --features polly --example polly -- --text "Good morning." --out morning.wav
//! ```
//!
//! Region and credentials are found as AWS programs find them; a server at an `--endpoint-url` is given made-up ones.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use rivvi::provider::{
    AudioFormat, ProviderError, ProviderErrorKind, SpeechRequest, SpeechSynthesizer, SpeechUsage,
};
use rivvi::providers::{Polly, PollyEngine, PollyOptions};
use rivvi::speech::{CachedSpeech, SpeechStatistics, audio};
use rivvi::storage::Blobs;

/// Speaks a text by Amazon Polly into a file.
///
/// Exit codes: 0 done, 1 something broke, 2 bad input.
#[derive(Debug, Parser)]
#[command(name = "polly")]
struct Options {
    /// A server that plays Polly [default: Amazon's own]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Who speaks, such as Joanna [default: a voice of the language]
    #[arg(long, value_name = "NAME")]
    voice: Option<String>,
    /// standard, neural, long-form or generative
    #[arg(long, value_name = "ENGINE", default_value = "neural")]
    engine: PollyEngine,
    /// The language, such as en, en-GB or arb
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// What to say
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// The text is a document in SSML, from <speak> to </speak>
    #[arg(long)]
    ssml: bool,
    /// What to write it as
    #[arg(long, value_enum, default_value_t = Format::Linear8k)]
    format: Format,
    /// Where to write it: a WAV file if the name ends in .wav, else the samples alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder in which speech is kept, so that the same text is paid for once
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// 8000 signed 16-bit samples a second
    Linear8k,
    /// 16000 signed 16-bit samples a second
    Linear16k,
    /// 8000 bytes of µ-law a second
    Mulaw8k,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match speak(&options).await {
        Ok(spoken) => {
            spoken.print(&options);
            ExitCode::SUCCESS
        }
        Err(Failure::Input(problem)) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
        Err(Failure::Broken(problem)) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Input(String),
    Broken(String),
}

/// What came of it.
struct Spoken {
    bytes: usize,
    seconds: f64,
    paid: SpeechUsage,
    cached: bool,
}

async fn speak(options: &Options) -> Result<Spoken, Failure> {
    let request = request(options)?;
    let polly = polly(options).await?;
    let (speech, statistics) = match &options.cache {
        None => (polly.synthesize(&request).await, SpeechStatistics::default()),
        Some(folder) => {
            let blobs = Blobs::in_folder(folder).map_err(|error| Failure::Input(error.to_string()))?;
            let cached = CachedSpeech::new(Arc::new(polly.clone()), blobs);
            (cached.synthesize(&request).await, cached.statistics())
        }
    };
    let speech = speech.map_err(|error| refused(&error))?;
    let seconds =
        speech.len() as f64 / request.format.sample_bytes() as f64 / f64::from(request.format.rate());
    let wave = options.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav"));
    let file = if wave { audio::write_wave(&speech, request.format) } else { speech };
    std::fs::write(&options.out, &file)
        .map_err(|error| Failure::Input(format!("{} cannot be written: {error}", options.out.display())))?;
    Ok(Spoken { bytes: file.len(), seconds, paid: polly.usage(), cached: statistics.store_hits > 0 })
}

fn request(options: &Options) -> Result<SpeechRequest, Failure> {
    let format = match options.format {
        Format::Linear8k => AudioFormat::Linear8k,
        Format::Linear16k => AudioFormat::Linear16k,
        Format::Mulaw8k => AudioFormat::Mulaw8k,
    };
    let mut request = if options.ssml {
        SpeechRequest::ssml(&options.text, format)
    } else {
        SpeechRequest::new(&options.text, format)
    };
    if request.is_blank() {
        return Err(Failure::Input("--text: expected something to say".into()));
    }
    if options.ssml && !options.text.trim_start().starts_with("<speak") {
        return Err(Failure::Input(
            "--text: expected a document from <speak> to </speak>, as --ssml says".into(),
        ));
    }
    request.voice.clone_from(&options.voice);
    request.language.clone_from(&options.language);
    Ok(request)
}

async fn polly(options: &Options) -> Result<Polly, Failure> {
    let mut polly = PollyOptions::default();
    polly.engine = options.engine;
    let Some(url) = &options.endpoint_url else { return Ok(Polly::connect(polly).await) };
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| host.trim_matches('/').is_empty()) {
        return Err(Failure::Input(format!("--endpoint-url: expected http://HOST:PORT, not {url:?}")));
    }
    Ok(Polly::local(url, polly))
}

fn refused(error: &ProviderError) -> Failure {
    let cause = error.source.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    match error.kind {
        ProviderErrorKind::Unsupported | ProviderErrorKind::InvalidRequest => {
            Failure::Input(format!("{error}{cause}; look at --voice, --engine, --language and --text"))
        }
        ProviderErrorKind::Unauthorized => {
            Failure::Input(format!("{error}{cause}; set AWS_REGION, and AWS_PROFILE or the keys"))
        }
        _ => Failure::Broken(format!("{error}{cause}")),
    }
}

impl Spoken {
    fn print(&self, options: &Options) {
        let Self { bytes, seconds, paid, cached } = self;
        let dollars = paid.cost_usd_micros as f64 / 1e6;
        if options.json {
            let told = serde_json::json!({
                "file": options.out, "bytes": bytes, "seconds": seconds, "cached": cached,
                "characters": paid.characters, "cost_usd": dollars,
            });
            println!("{told}");
        } else if *cached {
            println!("{}: {seconds:.1} s, from the cache: nothing to pay", options.out.display());
        } else {
            let characters = paid.characters;
            println!("{}: {seconds:.1} s, {characters} characters for ${dollars:.6}", options.out.display());
        }
    }
}
