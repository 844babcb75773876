#![no_main]
rivvi_fuzz_libfuzzer::target!("workbook_parts");
