//! Texts of messages: templates that are filled in for each contact, and links whose followers are counted.

#[doc(hidden)]
pub mod language;
mod links;
mod template;

pub use links::{LinkToken, ShortLinks, ShortLinksError};
pub use template::{MessageTemplate, MessageTemplateError, MessageVariables, RenderError};
