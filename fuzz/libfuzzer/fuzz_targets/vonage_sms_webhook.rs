#![no_main]
rivvi_fuzz_libfuzzer::target!("vonage_sms_webhook");
