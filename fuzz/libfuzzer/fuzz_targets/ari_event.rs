#![no_main]
rivvi_fuzz_libfuzzer::target!("ari_event");
