//! Recipes: what is read once reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonoseg_core::recipe::Recipe;

fuzz_target!(|text: &str| {
    if let Ok(recipe) = Recipe::parse("fuzz.toml", text, &[]) {
        let again = Recipe::parse("fuzz.toml", &recipe.to_toml(), &[]).expect("a resolved recipe can be read");
        assert_eq!(format!("{again:?}"), format!("{recipe:?}"));
    }
});
