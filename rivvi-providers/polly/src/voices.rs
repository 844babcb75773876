//! Who speaks a request: pure.

use aws_sdk_polly::types::LanguageCode;
use rivvi_core::provider::SpeechRequest;

use crate::options::PollyOptions;

/// A neural voice for each language that has one (<https://docs.aws.amazon.com/polly/latest/dg/neural-voices.html>).
pub(crate) const NEURAL_VOICES: &[(&str, &str)] = &[
    ("ar-AE", "Hala"),
    ("ca-ES", "Arlet"),
    ("cmn-CN", "Zhiyu"),
    ("cs-CZ", "Jitka"),
    ("da-DK", "Sofie"),
    ("de-AT", "Hannah"),
    ("de-CH", "Sabrina"),
    ("de-DE", "Vicki"),
    ("en-AU", "Olivia"),
    ("en-GB", "Amy"),
    ("en-IE", "Niamh"),
    ("en-IN", "Kajal"),
    ("en-NZ", "Aria"),
    ("en-SG", "Jasmine"),
    ("en-US", "Joanna"),
    ("en-ZA", "Ayanda"),
    ("es-ES", "Lucia"),
    ("es-MX", "Mia"),
    ("es-US", "Lupe"),
    ("fi-FI", "Suvi"),
    ("fr-BE", "Isabelle"),
    ("fr-CA", "Gabrielle"),
    ("fr-FR", "Lea"),
    ("hi-IN", "Kajal"),
    ("it-IT", "Bianca"),
    ("ja-JP", "Takumi"),
    ("ko-KR", "Seoyeon"),
    ("nb-NO", "Ida"),
    ("nl-BE", "Lisa"),
    ("nl-NL", "Laura"),
    ("pl-PL", "Ola"),
    ("pt-BR", "Camila"),
    ("pt-PT", "Ines"),
    ("sv-SE", "Elin"),
    ("tr-TR", "Burcu"),
    ("yue-CN", "Hiujin"),
];

/// Who speaks, and in which language, if Polly is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speaker {
    pub(crate) voice: String,
    pub(crate) language: Option<String>,
}

/// Why nobody can speak a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSpeaker {
    #[error("expected the name of one of Polly's voices, such as `Joanna`")]
    Voice,
    #[error(
        "Polly does not speak this language: expected one of its codes, such as `en-US` or `arb`; it has no Hebrew, for \
         instance, which another synthesizer must speak"
    )]
    Language,
    #[error("no voice is named for this language: name one among the voices of the options")]
    NoVoice,
}

/// Who speaks a request.
pub(crate) fn speaker(options: &PollyOptions, request: &SpeechRequest) -> Result<Speaker, NoSpeaker> {
    let asked = request.language.as_deref();
    if let Some(voice) = &request.voice {
        if voice.is_empty() || !voice.chars().all(|sign| sign.is_ascii_alphanumeric()) {
            return Err(NoSpeaker::Voice);
        }
        // A language without a region may be that of any voice: the voice knows.
        let language = asked.map(codes).transpose()?.filter(|codes| codes.len() == 1);
        let language = language.map(|codes| codes[0].to_owned());
        return Ok(Speaker { voice: voice.clone(), language });
    }
    let codes = codes(asked.unwrap_or(&options.language))?;
    let voiced = |code: &&str| options.voices.contains_key(*code);
    let own = codes.iter().copied().find(|code| *code == options.language);
    let code = own.filter(voiced).or_else(|| codes.iter().copied().find(voiced));
    let code = code.ok_or(NoSpeaker::NoVoice)?;
    let voice = options.voices.get(code).ok_or(NoSpeaker::NoVoice)?;
    Ok(Speaker { voice: voice.clone(), language: Some(code.to_owned()) })
}

/// Polly's codes for a language: one for `en-us`, several for `en`, the best known first.
fn codes(language: &str) -> Result<Vec<&'static str>, NoSpeaker> {
    // Polly has the languages of these under names of their own.
    let language = match language.to_ascii_lowercase().as_str() {
        "ar" => return Ok(vec!["ar-AE", "arb"]),
        "zh" | "zh-cn" => "cmn-CN".to_owned(),
        "no" => "nb".to_owned(),
        other => other.to_owned(),
    };
    let all = LanguageCode::values();
    if let Some(exact) = all.iter().find(|code| code.eq_ignore_ascii_case(&language)) {
        return Ok(vec![exact]);
    }
    let of_region =
        |code: &&&str| code.split_once('-').is_some_and(|(bare, _)| bare.eq_ignore_ascii_case(&language));
    let mut codes: Vec<&'static str> = all.iter().filter(of_region).copied().collect();
    let home = format!("{language}-{language}");
    codes.sort_by_key(|code| !matches!(*code, "en-US") && !code.eq_ignore_ascii_case(&home));
    if codes.is_empty() { Err(NoSpeaker::Language) } else { Ok(codes) }
}

#[cfg(test)]
mod tests {
    use aws_sdk_polly::types::VoiceId;
    use rivvi_core::provider::AudioFormat;

    use super::*;

    fn asked(language: Option<&str>, voice: Option<&str>) -> Result<(String, Option<String>), NoSpeaker> {
        let mut request = SpeechRequest::new("text", AudioFormat::Linear8k);
        request.language = language.map(str::to_owned);
        request.voice = voice.map(str::to_owned);
        let speaker = speaker(&PollyOptions::default(), &request)?;
        Ok((speaker.voice, speaker.language))
    }

    #[test]
    fn every_voice_of_the_list_is_one_of_pollys() {
        for (language, voice) in NEURAL_VOICES {
            assert!(LanguageCode::values().contains(language), "{language}");
            assert!(VoiceId::values().contains(voice), "{voice}");
        }
    }

    #[test]
    fn a_language_finds_its_voice() {
        for (language, voice, code) in [
            (None, "Joanna", "en-US"),
            (Some("en"), "Joanna", "en-US"),
            (Some("EN-gb"), "Amy", "en-GB"),
            (Some("fr"), "Lea", "fr-FR"),
            (Some("de"), "Vicki", "de-DE"),
            (Some("pt"), "Ines", "pt-PT"),
            (Some("ar"), "Hala", "ar-AE"),
            (Some("zh"), "Zhiyu", "cmn-CN"),
        ] {
            assert_eq!(asked(language, None), Ok((voice.into(), Some(code.into()))), "{language:?}");
        }
        assert_eq!(asked(Some("ru"), None), Err(NoSpeaker::NoVoice), "no neural voice");
        for unknown in ["he", "he-IL", "iw", "", "e", "en-", "x\r\ny"] {
            assert_eq!(asked(Some(unknown), None), Err(NoSpeaker::Language), "{unknown:?}");
        }
        let options = PollyOptions::with_voice("en-GB", "Brian");
        let mut request = SpeechRequest::new("text", AudioFormat::Linear8k);
        request.language = Some("en".into());
        assert_eq!(speaker(&options, &request).unwrap().voice, "Brian", "the language of the options fits");
    }

    #[test]
    fn a_voice_speaks_what_it_is_asked_to() {
        assert_eq!(asked(None, Some("Matthew")), Ok(("Matthew".into(), None)));
        assert_eq!(asked(Some("en"), Some("Amy")), Ok(("Amy".into(), None)));
        assert_eq!(asked(Some("hi-IN"), Some("Kajal")), Ok(("Kajal".into(), Some("hi-IN".into()))));
        assert_eq!(asked(Some("he-IL"), Some("Joanna")), Err(NoSpeaker::Language));
        for unknown in ["", "../x", "a b", "קול"] {
            assert_eq!(asked(None, Some(unknown)), Err(NoSpeaker::Voice), "{unknown:?}");
        }
    }
}
