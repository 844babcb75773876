//! The known fields of a person.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::personal::Personal;

/// The fields of a person that Rivvi understands; everything else a sheet carries is a variable of the contact.
///
/// All of them are personal: `Debug` shows only which are present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PersonFields {
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Personal<String>>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Personal<String>>,
    /// Date of birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<Personal<NaiveDate>>,
    /// E-mail address, as written in the sheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// Language the person speaks, as written in the sheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Personal<String>>,
}
