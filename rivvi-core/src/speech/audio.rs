//! Between what synthesizers give, what telephones carry, and what people listen to.

use audio_codec_algorithms::encode_ulaw;
use bytes::Bytes;

use crate::provider::AudioFormat;

/// The rate and samples of a WAV file with one channel of 16-bit samples. Lengths are not believed: a program that writes
/// to a pipe cannot know them.
pub fn read_wave(wave: &[u8]) -> Option<(u32, Vec<i16>)> {
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
                return Some((rate?, samples(data)));
            }
            _ => {}
        }
        rest = body.get(length + length % 2..)?;
    }
}

/// A WAV file of telephone audio, cut off where it could not tell its length any more (4 GiB).
pub fn write_wave(speech: &[u8], format: AudioFormat) -> Bytes {
    const HEADER_BYTES: u32 = 36;
    let length = u32::try_from(speech.len()).unwrap_or(u32::MAX).min(u32::MAX - HEADER_BYTES);
    let speech = usize::try_from(length).ok().and_then(|length| speech.get(..length)).unwrap_or(speech);
    // The registered numbers of PCM and of µ-law (RFC 2361).
    let (code, sample_bytes): (u16, u16) = match format {
        AudioFormat::Linear8k | AudioFormat::Linear16k => (1, 2),
        AudioFormat::Mulaw8k => (7, 1),
    };
    let mut wave = Vec::with_capacity(speech.len() + 44);
    wave.extend_from_slice(b"RIFF");
    wave.extend_from_slice(&(HEADER_BYTES + length).to_le_bytes());
    wave.extend_from_slice(b"WAVEfmt \x10\0\0\0");
    wave.extend_from_slice(&code.to_le_bytes());
    wave.extend_from_slice(&1_u16.to_le_bytes());
    wave.extend_from_slice(&format.rate().to_le_bytes());
    wave.extend_from_slice(&(format.rate() * u32::from(sample_bytes)).to_le_bytes());
    wave.extend_from_slice(&sample_bytes.to_le_bytes());
    wave.extend_from_slice(&(sample_bytes * 8).to_le_bytes());
    wave.extend_from_slice(b"data");
    wave.extend_from_slice(&length.to_le_bytes());
    wave.extend_from_slice(speech);
    wave.into()
}

/// The samples of signed 16-bit little-endian audio. Half a sample at the end is left out.
pub fn samples(linear: &[u8]) -> Vec<i16> {
    linear.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Samples of this rate in a telephone's format.
pub fn encode(samples: &[i16], rate: u32, format: AudioFormat) -> Bytes {
    let resampled = resample(samples, rate, format.rate());
    match format {
        AudioFormat::Linear8k | AudioFormat::Linear16k => {
            resampled.iter().flat_map(|sample| sample.to_le_bytes()).collect()
        }
        AudioFormat::Mulaw8k => resampled.into_iter().map(encode_ulaw).collect(),
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
            assert_eq!(encode(&[sample], 8_000, AudioFormat::Mulaw8k)[..], [byte], "{sample}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let speech = encode(&tone(8_000, 300.0), 8_000, AudioFormat::Linear16k);
        assert_eq!(speech.len(), 2 * 16_000);
        let wave = write_wave(&speech, AudioFormat::Linear16k);
        assert_eq!(read_wave(&wave), Some((16_000, samples(&speech))));
        let mulaw = write_wave(&[0xff; 100], AudioFormat::Mulaw8k);
        assert_eq!((mulaw.len(), &mulaw[20..22], &mulaw[34..36]), (144, &[7, 0][..], &[8, 0][..]));
        assert_eq!(read_wave(&mulaw), None, "another coding");
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
