//! Quantities as scenario files write them: durations, sizes and bit rates, each with its unit.

use std::time::Duration;

/// Reads a duration such as `250ms` or `1.5s`. Units: `us`, `ms`, `s`, `m`, `h`.
///
/// # Errors
/// A fragment that says what is wrong with the text.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u128); 6] = [
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let nanos = quantity(text, &UNITS, "us, ms, s, m or h")?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| "the duration is too long".to_owned())
}

/// Reads a size such as `64B` or `1MiB`, in bytes. Units: `B`, `kB`, `MB`, `GB` (powers of 1000) and `KiB`, `MiB`,
/// `GiB` (powers of 1024).
///
/// # Errors
/// A fragment that says what is wrong with the text.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u128); 7] = [
        ("B", 1),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let bytes = quantity(text, &UNITS, "B, kB, MB, GB, KiB, MiB or GiB")?;
    u64::try_from(bytes).map_err(|_| "the size is too large".to_owned())
}

/// Reads a bit rate such as `50Mbit`, in bits a second. Units: `bit`, `kbit`, `Mbit`, `Gbit`.
///
/// # Errors
/// A fragment that says what is wrong with the text.
pub(super) fn bit_rate(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u128); 4] =
        [("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];
    let bits = quantity(text, &UNITS, "bit, kbit, Mbit or Gbit")?;
    u64::try_from(bits).map_err(|_| "the rate is too high".to_owned())
}

/// Reads a percentage such as `8%`, as a share of one.
///
/// # Errors
/// A fragment that says what is wrong with the text.
pub(super) fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').ok_or("the `%` is missing")?.trim();
    match number.parse::<f64>() {
        Ok(share) if share.is_finite() && share >= 0.0 => Ok(share / 100.0),
        _ => Err(format!("`{number}` is not a number of at least 0")),
    }
}

/// A decimal number times its unit's factor, exactly: no float is involved.
fn quantity(text: &str, units: &[(&str, u128)], names: &str) -> Result<u128, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    if number.is_empty() {
        return Err("it does not begin with a number".to_owned());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("the unit is missing: {names}"),
            unit => format!("`{unit}` is not a unit: {names}"),
        });
    };
    let wrong = || format!("`{number}` is not a number");
    let digits = number.replace('_', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') || fraction.len() > 18 {
        return Err(wrong());
    }
    let whole: u128 = whole.parse::<u64>().map_err(|_| wrong())?.into();
    let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| wrong())? };
    let parts = fraction * factor;
    if !parts.is_multiple_of(scale) {
        return Err(format!("`{number}` is finer than the smallest unit"));
    }
    Ok(whole * factor + parts / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0.1s"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("2 m"), Ok(Duration::from_secs(120)));
        assert_eq!(size("64B"), Ok(64));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1_500kB"), Ok(1_500_000));
        assert_eq!(bit_rate("50Mbit"), Ok(50_000_000));
        assert_eq!(percentage("8%"), Ok(0.08));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_the_reason() {
        assert_eq!(duration("5"), Err("the unit is missing: us, ms, s, m or h".into()));
        assert_eq!(duration("5 sec"), Err("`sec` is not a unit: us, ms, s, m or h".into()));
        assert_eq!(duration("s"), Err("it does not begin with a number".into()));
        assert_eq!(duration("-1s"), Err("it does not begin with a number".into()));
        assert_eq!(duration("1.2.3s"), Err("`1.2.3` is not a number".into()));
        assert_eq!(size("1.5B"), Err("`1.5` is finer than the smallest unit".into()));
        assert!(duration("99999999999h").is_err());
        assert!(size("99999999999999999999GB").is_err());
        assert!(size("64mb").is_err());
        assert!(percentage("-1%").is_err() && percentage("x%").is_err() && percentage("5").is_err());
    }
}
