#![no_main]
rivvi_fuzz_libfuzzer::target!("link_token");
