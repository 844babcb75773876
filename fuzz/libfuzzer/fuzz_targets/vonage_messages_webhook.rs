#![no_main]
rivvi_fuzz_libfuzzer::target!("vonage_messages_webhook");
