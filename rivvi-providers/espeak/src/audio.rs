//! From the WAV of a synthesizer to telephone audio.

use bytes::Bytes;
use rivvi_core::provider::AudioFormat;

/// The rate and samples of a WAV file with one channel of 16-bit samples. Lengths are not believed: a program that writes
/// to a pipe cannot know them.
pub(crate) fn read_wave(wave: &[u8]) -> Option<(u32, Vec<i16>)> {
    if wave.get(..4)? != b"RIFF" || wave.get(8..12)? != b"WAVE" {
        return None;
    }
    let (mut rate, mut rest) = (None, wave.get(12..)?);
    loop {
        let (name, length) = (rest.get(..4)?, u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?));
        let body = rest.get(8..)?;
        let length = usize::try_from(length).ok()?;
        match name {
            b"fmt " => {
                let format = body.get(..16)?;
                if format[..4] != [1, 0, 1, 0] || format[14..16] != [16, 0] {
                    return None;
                }
                rate = Some(u32::from_le_bytes(format[4..8].try_into().ok()?));
            }
            b"data" => {
                let data = body.get(..length).unwrap_or(body);
                let samples = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                return Some((rate?, samples.collect()));
            }
            _ => {}
        }
        rest = body.get(length + length % 2..)?;
    }
}

/// The same sound in a telephone's format; `None` if the format is not known here.
pub(crate) fn telephone(samples: &[i16], rate: u32, format: AudioFormat) -> Option<Bytes> {
    let resampled = resample(samples, rate, format.rate());
    match format {
        AudioFormat::Linear8k | AudioFormat::Linear16k => {
            Some(resampled.iter().flat_map(|sample| sample.to_le_bytes()).collect())
        }
        AudioFormat::Mulaw8k => Some(resampled.into_iter().map(mulaw).collect()),
        _ => None,
    }
}

/// Taps of the filter on each side, at the lower of both rates.
const TAPS: f64 = 8.0;

/// Samples at another rate: a windowed sinc (Hann), cut off below half the lower rate.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths of speech fit, and samples are kept in range"
)]
fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || from == 0 || samples.is_empty() {
        return samples.to_vec();
    }
    let step = f64::from(from) / f64::from(to);
    let cutoff = 0.95 * step.recip().min(1.0);
    let reach = TAPS * step.max(1.0);
    let length = (samples.len() as f64 / step) as usize;
    let sample_at = |place: usize| {
        let middle = place as f64 * step;
        let first = (middle - reach).ceil().max(0.0) as usize;
        let last = ((middle + reach).floor() as usize).min(samples.len() - 1);
        let sum: f64 = (first..=last)
            .map(|near| {
                let distance = near as f64 - middle;
                let window = 0.5 + 0.5 * (std::f64::consts::PI * distance / reach).cos();
                f64::from(samples[near]) * cutoff * sinc(cutoff * distance) * window
            })
            .sum();
        sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
    };
    (0..length).map(sample_at).collect()
}

fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle }
}

/// ITU-T G.711, µ-law.
fn mulaw(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    const CLIP: i32 = 32_635;
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let exponent = (magnitude >> 7).ilog2();
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let byte = u8::try_from(i32::try_from(exponent << 4).unwrap_or_default() | mantissa).unwrap_or_default();
    !(byte | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64) -> Vec<i16> {
        let sample = |n: u32| {
            (10_000.0 * (std::f64::consts::TAU * hertz * f64::from(n) / f64::from(rate)).sin()) as i16
        };
        (0..rate).map(sample).collect()
    }

    fn loudness(samples: &[i16]) -> f64 {
        let squares: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (squares / samples.len() as f64).sqrt()
    }

    #[test]
    fn what_telephones_carry_stays_and_what_they_cannot_is_removed() {
        let full = 10_000.0 / 2_f64.sqrt();
        for hertz in [300.0, 1_000.0, 3_000.0] {
            let heard = loudness(&resample(&tone(22_050, hertz), 22_050, 8_000));
            assert!((heard / full - 1.0).abs() < 0.1, "{hertz} Hz: {heard}");
        }
        let folded = loudness(&resample(&tone(22_050, 6_000.0), 22_050, 8_000));
        assert!(folded < 0.03 * full, "6 kHz would be heard as 2 kHz: {folded}");
        let seconds = resample(&tone(22_050, 300.0), 22_050, 8_000).len();
        assert!((7_999..=8_001).contains(&seconds));
    }

    #[test]
    fn mulaw_is_that_of_the_standard() {
        for (sample, byte) in
            [(0, 0xff), (-1, 0x7f), (32_767, 0x80), (-32_768, 0x00), (1_000, 0xce), (-1_000, 0x4e)]
        {
            assert_eq!(mulaw(sample), byte, "{sample}");
        }
    }

    #[test]
    fn a_wave_without_a_length_is_read_and_another_is_not() {
        let mut wave =
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x22\x56\0\0\x44\xac\0\0\x02\0\x10\0"
                .to_vec();
        wave.extend_from_slice(b"data\xff\xff\xff\x7f\x01\0\xff\xff");
        assert_eq!(read_wave(&wave), Some((22_050, vec![1, -1])));
        for cut in 0..wave.len() - 4 {
            assert!(read_wave(&wave[..cut]).is_none_or(|(_, samples)| samples.is_empty()));
        }
        wave[22] = 2;
        assert_eq!(read_wave(&wave), None, "stereo");
    }
}
