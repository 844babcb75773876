//! Prompts, and what follows when something happens at a node.

use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::action::Action;
use super::template::Template;

/// Something that is played or spoken to the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prompt {
    /// A recording: an address or a name that the provider knows.
    Audio(Template),
    /// A text that is spoken.
    Text {
        /// The text.
        text: Template,
        /// The language it is in; that of the flow if absent.
        language: Option<Template>,
    },
}

impl Prompt {
    /// A spoken text in English.
    pub(super) fn english(text: &str) -> Self {
        Self::Text { text: Template::plain(text), language: Some(Template::plain("en")) }
    }

    /// The texts in it that have variables.
    pub(super) fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let (first, second) = match self {
            Self::Audio(audio) => (("audio", audio), None),
            Self::Text { text, language } => (("text", text), language.as_ref()),
        };
        std::iter::once(first).chain(second.map(|language| ("language", language)))
    }
}

/// The three fields a prompt is written in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenPrompt {
    #[serde(alias = "audioUrl", skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<Template>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Template>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language: Option<Template>,
}

impl WrittenPrompt {
    /// The prompt, `None` if nothing is written.
    ///
    /// # Errors
    /// The field that is wrong and what was expected.
    pub(super) fn read(self) -> Result<Option<Prompt>, (&'static str, &'static str)> {
        let Self { audio, text, language } = self;
        match (audio, text, language) {
            (Some(_), Some(_), _) => Err(("text", "expected either `audio` or `text`, not both")),
            (Some(audio), _, _) if audio.is_blank() => {
                Err(("audio", "expected a recording, not an empty text"))
            }
            (_, Some(text), _) if text.is_blank() => Err(("text", "expected a text that is not empty")),
            (Some(_), _, Some(_)) => {
                Err(("language", "expected only beside `text`; a recording has its own"))
            }
            (None, None, Some(_)) => Err(("language", "expected only beside `text`")),
            (Some(audio), None, None) => Ok(Some(Prompt::Audio(audio))),
            (None, Some(text), language) => Ok(Some(Prompt::Text { text, language })),
            (None, None, None) => Ok(None),
        }
    }
}

impl From<Option<Prompt>> for WrittenPrompt {
    fn from(prompt: Option<Prompt>) -> Self {
        match prompt {
            Some(Prompt::Audio(audio)) => Self { audio: Some(audio), ..Self::default() },
            Some(Prompt::Text { text, language }) => Self { text: Some(text), language, audio: None },
            None => Self::default(),
        }
    }
}

/// What follows when something happens at a node: actions at once, then a prompt, then another node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reaction {
    pub(super) prompt: Option<Prompt>,
    pub(super) actions: Vec<Action>,
    /// What is kept as the result of the node in place of what the callee entered.
    pub(super) value: Option<String>,
    /// Where to go; where its node goes if absent.
    pub(super) next: Option<Arc<str>>,
}

/// What follows when the callee enters something else than expected, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Retry {
    /// How often the node starts over before the reaction's actions and target.
    pub(super) retries: u8,
    /// Its prompt is played each time; its actions and its target come when the retries are used up.
    pub(super) reaction: Reaction,
}

/// A reaction as it is written: the id of a node, or a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct WrittenReaction {
    #[serde(flatten)]
    pub(super) prompt: WrittenPrompt,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) actions: Vec<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<u8>,
}

impl WrittenReaction {
    /// The reaction without its retries.
    ///
    /// # Errors
    /// The field that is wrong and what was expected.
    pub(super) fn read(self) -> Result<Reaction, (&'static str, &'static str)> {
        Ok(Reaction {
            prompt: self.prompt.read()?,
            actions: self.actions,
            value: self.value,
            next: self.next,
        })
    }
}

impl From<Reaction> for WrittenReaction {
    fn from(Reaction { prompt, actions, value, next }: Reaction) -> Self {
        Self { prompt: prompt.into(), actions, value, next, retries: None }
    }
}

impl<'de> Deserialize<'de> for WrittenReaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReactionVisitor)
    }
}

struct ReactionVisitor;

impl<'de> Visitor<'de> for ReactionVisitor {
    type Value = WrittenReaction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a node, or a table with `next`, `action`, `actions`, `audio` or `text`")
    }

    fn visit_str<E: serde::de::Error>(self, next: &str) -> Result<WrittenReaction, E> {
        Ok(WrittenReaction { next: Some(next.into()), ..WrittenReaction::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenReaction, A::Error> {
        let fields = ReactionFields::deserialize(MapAccessDeserializer::new(map))?;
        let ReactionFields { audio, text, language, action, mut actions, value, next, retries } = fields;
        actions.extend(action);
        Ok(WrittenReaction { prompt: WrittenPrompt { audio, text, language }, actions, value, next, retries })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReactionFields {
    #[serde(alias = "audioUrl")]
    audio: Option<Template>,
    text: Option<Template>,
    language: Option<Template>,
    action: Option<Action>,
    actions: Vec<Action>,
    value: Option<String>,
    #[serde(alias = "nextNodeId")]
    next: Option<Arc<str>>,
    retries: Option<u8>,
}
