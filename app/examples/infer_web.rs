//! Our side of `cargo xtask bench infer` in the browser: the network as the worker runs it on the CPU, for
//! `bench/infer.js`.

fn main() {
    #[cfg(target_arch = "wasm32")]
    web::start();
}

#[cfg(target_arch = "wasm32")]
#[path = "../../bench/parts.rs"]
mod parts;

#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "wasm-bindgen exports only what is public")]
mod web {
    use std::collections::BTreeMap;

    use burn::tensor::{Device, Tensor, TensorData};
    use sonoseg_core::checkpoint::{decode_tensors, write_state};
    use sonoseg_core::models::unetr::{Unetr, UnetrConfig};
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::{JsError, wasm_bindgen};

    use crate::parts;

    pub(crate) fn start() {
        run_static_constructors();
        console_error_panic_hook::set_once();
    }

    /// As in the worker: without this call, every export would run all static constructors on every call.
    #[expect(unsafe_code, reason = "the symbol is made by the linker; calling it once at start is what it is for")]
    fn run_static_constructors() {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        unsafe { __wasm_call_ctors() }
    }

    /// A network with the inputs of its parts.
    #[wasm_bindgen]
    struct Network {
        network: Unetr,
        taps: [usize; 3],
        device: Device,
        inputs: BTreeMap<String, Vec<Tensor<4>>>,
    }

    #[wasm_bindgen]
    impl Network {
        /// From a `UnetrConfig` and the bytes of a safetensors file.
        #[wasm_bindgen(constructor)]
        pub fn new(config: JsValue, weights: &[u8]) -> Result<Self, JsError> {
            let config: UnetrConfig = serde_wasm_bindgen::from_value(config)?;
            let device = Device::flex();
            let network = write_state("weights", decode_tensors("weights", weights)?, config.init(&device))?;
            Ok(Self { network, taps: config.taps, device, inputs: BTreeMap::new() })
        }

        /// The inputs of a part, from the bytes of a safetensors file, in the order of their names.
        pub fn load(&mut self, part: String, inputs: &[u8]) -> Result<(), JsError> {
            let tensor = |(shape, numbers): (Vec<usize>, Vec<f32>)| {
                Tensor::from_data(TensorData::new(numbers, shape), &self.device)
            };
            let tensors = decode_tensors("inputs", inputs)?.into_values().map(tensor).collect();
            self.inputs.insert(part, tensors);
            Ok(())
        }

        /// Compute a part of the network on its inputs.
        pub async fn run(&self, part: String) -> Result<Vec<f32>, JsError> {
            let inputs = self.inputs.get(&part).ok_or_else(|| JsError::new("this part has no inputs yet"))?;
            let output =
                parts::run(&self.network, &self.taps, &part, inputs).map_err(|reason| JsError::new(&reason))?;
            let data = output.into_data_async().await.map_err(|error| JsError::new(&format!("{error:?}")))?;
            data.try_into_vec().map_err(|error| JsError::new(&format!("{error:?}")))
        }
    }
}
