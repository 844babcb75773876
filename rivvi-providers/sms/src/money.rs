//! Prices as vendors write them.

use rivvi_core::domain::{Currency, Money};

/// A price such as `0.0333` or `-0.00750`, without its sign: vendors tell what they take. Digits after the millionths are
/// rounded.
pub(crate) fn price(text: &str, currency: Currency) -> Option<Money> {
    let text = text.trim().trim_start_matches(['-', '+']);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let place = |at: usize| i64::from(part.as_bytes().get(at).map_or(0, |digit| digit - b'0'));
    let millionths = (0..6).fold(0, |sum, at| sum * 10 + place(at)) + i64::from(place(6) >= 5);
    Some(Money { micros: whole.checked_mul(1_000_000)?.checked_add(millionths)?, currency })
}

/// The price of so many parts.
pub(crate) fn times(price: Money, parts: u32) -> Option<Money> {
    Some(Money { micros: price.micros.checked_mul(i64::from(parts))?, ..price })
}

/// Both together; `None` if they are of two currencies.
pub(crate) fn plus(left: Money, right: Money) -> Option<Money> {
    let micros = left.micros.checked_add(right.micros)?;
    (left.currency == right.currency).then_some(Money { micros, ..left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_to_the_millionth() {
        for (text, micros) in [
            ("0.0333", Some(33_300)),
            ("0.03330000", Some(33_300)),
            ("-0.00750", Some(7_500)),
            ("1", Some(1_000_000)),
            (".5", Some(500_000)),
            ("2.", Some(2_000_000)),
            ("0.0000005", Some(1)),
            ("0.0000004", Some(0)),
            ("", None),
            (".", None),
            ("1e3", None),
            ("1,5", None),
            ("free", None),
            ("99999999999999999999", None),
            ("9999999999999999", None),
        ] {
            assert_eq!(price(text, Currency::USD).map(|money| money.micros), micros, "{text}");
        }
    }

    #[test]
    fn sums_stay_in_one_currency() {
        let money = |micros, code| Money { micros, currency: Currency::new(code).unwrap() };
        assert_eq!(plus(money(1, "EUR"), money(2, "EUR")), Some(money(3, "EUR")));
        assert_eq!(plus(money(1, "EUR"), money(2, "USD")), None);
        assert_eq!(plus(money(i64::MAX, "EUR"), money(1, "EUR")), None);
        assert_eq!(times(money(33_300, "EUR"), 3), Some(money(99_900, "EUR")));
    }
}
