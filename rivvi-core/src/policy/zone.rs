//! Which time zones a contact may be in.
//!
//! A campaign may call only when it is allowed where the person is. A sheet may say where that is; otherwise the
//! number's leading digits do, sometimes with more than one answer.

mod name;
mod prefix;

use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::name::parse_zone;
pub use self::prefix::zones_of;
use crate::domain::E164;

/// How a contact is treated whose zone is ambiguous or unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ZonePolicy {
    /// A moment must be legal in every zone the number may be in. A contact of no known zone is not called.
    #[default]
    AllCandidates,
    /// A moment must be legal in every zone the number may be in. A contact of no known zone is taken to be where
    /// the organization is.
    OrganizationFallback,
}

/// Decides in which zones a contact may be. `explicit` is the zone its sheet names and wins over everything.
///
/// The result is empty only under [`ZonePolicy::AllCandidates`], for a number of no known zone: such a contact must
/// not be called.
pub fn resolve(explicit: Option<Tz>, number: E164, policy: ZonePolicy, organization: Tz) -> ResolvedZones {
    if let Some(zone) = explicit {
        return ResolvedZones { zones: CandidateZones::single(zone), evidence: ZoneEvidence::Column };
    }
    let zones = zones_of(number);
    if !zones.is_empty() {
        return ResolvedZones { zones, evidence: ZoneEvidence::Number };
    }
    match policy {
        ZonePolicy::AllCandidates => ResolvedZones { zones, evidence: ZoneEvidence::Unknown },
        ZonePolicy::OrganizationFallback => ResolvedZones {
            zones: CandidateZones::single(organization),
            evidence: ZoneEvidence::OrganizationFallback,
        },
    }
}

/// The zones a contact may be in, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedZones {
    /// A moment must be legal in all of these. Empty: no moment is.
    pub zones: CandidateZones,
    /// Where the zones were taken from.
    pub evidence: ZoneEvidence,
}

/// How the zones of a contact are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ZoneEvidence {
    /// The contact's own zone column.
    Column,
    /// The leading digits of its number.
    Number,
    /// Nothing is known of the contact; the zone is the organization's.
    OrganizationFallback,
    /// Nothing is known of the contact.
    Unknown,
}

/// A set of time zones, in the order of their names. Most numbers have one; a toll-free one of North America has
/// 42. Cheap to clone.
///
/// Serialized as a list of IANA names.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CandidateZones(Zones);

/// One zone is stored in place, so equal sets must be built alike: see `FromIterator`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
enum Zones {
    #[default]
    Unknown,
    One(Tz),
    Many(Arc<[Tz]>),
}

impl CandidateZones {
    /// The set of this zone alone.
    pub const fn single(zone: Tz) -> Self {
        Self(Zones::One(zone))
    }

    /// The zones, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Tz> + '_ {
        self.as_slice().iter().copied()
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Whether the set names this zone. `Asia/Kolkata` and its old name `Asia/Calcutta` are two zones here.
    pub fn contains(&self, zone: Tz) -> bool {
        self.as_slice().contains(&zone)
    }

    /// The zones, in the order of their names.
    pub fn as_slice(&self) -> &[Tz] {
        match &self.0 {
            Zones::Unknown => &[],
            Zones::One(zone) => std::slice::from_ref(zone),
            Zones::Many(zones) => zones,
        }
    }
}

impl FromIterator<Tz> for CandidateZones {
    fn from_iter<I: IntoIterator<Item = Tz>>(zones: I) -> Self {
        let mut zones: Vec<Tz> = zones.into_iter().collect();
        zones.sort_unstable_by_key(|zone| zone.name());
        zones.dedup();
        Self(match zones[..] {
            [] => Zones::Unknown,
            [zone] => Zones::One(zone),
            _ => Zones::Many(zones.into()),
        })
    }
}

impl fmt::Debug for CandidateZones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|zone| zone.name())).finish()
    }
}

impl Serialize for CandidateZones {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|zone| zone.name()))
    }
}

impl<'de> Deserialize<'de> for CandidateZones {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Tz>::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, Europe, TZ_VARIANTS};
    use proptest::prelude::*;

    use super::*;

    const BOISE: E164 = E164::from_digits(12_082_220_123).unwrap();
    const SATELLITE: E164 = E164::from_digits(881_612_345_678).unwrap();

    #[test]
    fn an_explicit_zone_wins() {
        for policy in [ZonePolicy::AllCandidates, ZonePolicy::OrganizationFallback] {
            for number in [BOISE, SATELLITE] {
                let resolved = resolve(Some(Europe::Paris), number, policy, Asia::Jerusalem);
                assert_eq!(resolved.zones, CandidateZones::single(Europe::Paris));
                assert_eq!(resolved.evidence, ZoneEvidence::Column);
            }
        }
    }

    #[test]
    fn an_ambiguous_zone_keeps_all_its_candidates_under_any_policy() {
        for policy in [ZonePolicy::AllCandidates, ZonePolicy::OrganizationFallback] {
            let resolved = resolve(None, BOISE, policy, Asia::Jerusalem);
            assert_eq!(resolved.zones, [America::Boise, America::Los_Angeles].into_iter().collect());
            assert_eq!(resolved.evidence, ZoneEvidence::Number);
        }
    }

    #[test]
    fn an_unknown_zone_excludes_or_falls_back() {
        let excluded = resolve(None, SATELLITE, ZonePolicy::default(), Asia::Jerusalem);
        assert!(excluded.zones.is_empty());
        assert_eq!(excluded.evidence, ZoneEvidence::Unknown);
        let fallback = resolve(None, SATELLITE, ZonePolicy::OrganizationFallback, Asia::Jerusalem);
        assert_eq!(fallback.zones, CandidateZones::single(Asia::Jerusalem));
        assert_eq!(fallback.evidence, ZoneEvidence::OrganizationFallback);
    }

    #[test]
    fn zones_are_serialized_by_name() {
        let resolved = resolve(None, BOISE, ZonePolicy::default(), Asia::Jerusalem);
        let json = serde_json::to_string(&resolved).unwrap();
        assert_eq!(json, r#"{"zones":["America/Boise","America/Los_Angeles"],"evidence":"number"}"#);
        assert_eq!(serde_json::from_str::<ResolvedZones>(&json).unwrap(), resolved);
        assert_eq!(serde_json::to_string(&ZonePolicy::AllCandidates).unwrap(), r#""all_candidates""#);
        assert!(serde_json::from_str::<CandidateZones>(r#"["Mars/Olympus"]"#).is_err());
    }

    proptest! {
        #[test]
        fn a_set_has_no_order_and_no_duplicates(
            indices in proptest::collection::vec(0..TZ_VARIANTS.len(), 0..8),
            seed in any::<prop::sample::Index>(),
        ) {
            let zones: Vec<Tz> = indices.iter().map(|index| TZ_VARIANTS[*index]).collect();
            let mut turned = zones.clone();
            turned.rotate_left(if zones.is_empty() { 0 } else { seed.index(zones.len()) });
            turned.extend(zones.first());
            let set: CandidateZones = zones.iter().copied().collect();
            prop_assert_eq!(&set, &turned.into_iter().collect());
            prop_assert!(zones.iter().all(|zone| set.contains(*zone)));
            prop_assert_eq!(set.is_empty(), zones.is_empty());
            prop_assert!(set.iter().is_sorted_by_key(|zone| zone.name()));
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<CandidateZones>(&json).unwrap(), set);
        }
    }
}
