#![no_main]
rivvi_fuzz_libfuzzer::target!("message_template");
