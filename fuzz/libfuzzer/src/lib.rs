//! The targets of `rivvi-fuzz` as programs of libFuzzer.

pub use libfuzzer_sys;
pub use rivvi_fuzz;

/// Makes a program of a target.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: {
                // Decoders of spreadsheets panic on damage, which is caught; what is not ends the process all the same.
                std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
            },
            |input: &[u8]| {
                let target = $crate::rivvi_fuzz::Target::find($name);
                (target.expect("a target of this name").run)(input)
            }
        );
    };
}
