//! Every network, layer, loss, metric, rule and optimiser against numbers from PyTorch, timm, torchvision and MONAI.

use burn::tensor::Device;
use sonoseg_core::optim::adamw::Decay;

use crate::case::Case;
use crate::{contrast, layers, networks, numbers, resnets};

/// Check a case; `None` when this harness does not know its kind, or its shape.
async fn check(bytes: &[u8], device: &Device) -> Option<Result<String, String>> {
    let mut case = Case::read(bytes, device);
    match case.kind.as_str() {
        "sincos_pos_embed" => numbers::sincos_pos_embed(&mut case),
        "pos_embed_bicubic_resize" => numbers::pos_embed_bicubic_resize(&mut case),
        "image_resize" => numbers::image_resize(&mut case),
        "miou" => numbers::miou(&mut case),
        "metrics_overlap" => numbers::metrics_overlap(&mut case),
        "layer_decay_scales" => numbers::layer_decay_scales(&mut case),
        "lr_schedules" => numbers::lr_schedules(&mut case),
        "adjusted_rand" => numbers::adjusted_rand(&mut case),
        "optim_adamw" => numbers::optim_adam(&mut case, Decay::Decoupled).await,
        "optim_adam_l2" => numbers::optim_adam(&mut case, Decay::L2).await,
        "optim_sgd" => numbers::optim_sgd(&mut case).await,
        "vit_block" => networks::vit_block(&mut case).await,
        "vit_encoder_taps" => networks::vit_encoder_taps(&mut case).await,
        "mae_forward" => networks::mae_forward(&mut case).await,
        "sf_unetr" | "video_unetr" => networks::unetr(&mut case).await,
        "unet2d" => networks::unet(&mut case).await,
        "resnet18" | "resnet50" => resnets::resnet(&mut case).await,
        "dilated_bottleneck" => resnets::dilated_bottleneck(&mut case).await,
        "fcn_head" => resnets::fcn_head(&mut case).await,
        "conv2d" => layers::conv2d(&mut case).await,
        "conv_transpose2d" => layers::conv_transpose2d(&mut case).await,
        "group_norm" if case.axes("in.x") == 4 => layers::group_norm(&mut case).await,
        "interpolate" => layers::interpolate(&mut case).await,
        "dice_loss" | "focal_loss" | "dice_focal_loss" => layers::loss(&mut case).await,
        "infonce_queue" => contrast::infonce_queue(&mut case).await,
        "ntxent" => contrast::ntxent(&mut case).await,
        "densecl_step" => contrast::densecl_step(&mut case).await,
        _ => return None,
    }
    Some(case.finish(&[]))
}

/// All files of `tests/reference`, or of the folder that SONOSEG_REFERENCE names.
#[cfg(not(target_family = "wasm"))]
#[test]
fn every_reference_case_matches() {
    use std::path::PathBuf;

    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference");
    let folder = std::env::var_os("SONOSEG_REFERENCE").map_or(own, PathBuf::from);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    paths.sort();
    let (mut passed, mut failures, mut unknown) = (0, Vec::new(), Vec::new());
    for path in &paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        match pollster::block_on(check(&std::fs::read(path).unwrap(), &Device::flex())) {
            None => unknown.push(name),
            Some(Ok(what)) => {
                println!("ok    {name}: {what}");
                passed += 1;
            }
            Some(Err(problems)) => failures.push(format!("{name}:\n    {problems}")),
        }
    }
    println!(
        "{passed} cases match, {} do not, {} of kinds or shapes not built yet: {unknown:?}",
        failures.len(),
        unknown.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > 0, "{} holds no case that this harness knows", folder.display());
}

#[cfg(target_family = "wasm")]
pub(crate) mod browser {
    use burn::tensor::Device;
    use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

    wasm_bindgen_test_configure!(run_in_dedicated_worker);

    /// The cases that go through every kind of operation that the app uses, on WebGPU and with gradients.
    const CASES: [(&str, &[u8]); 14] = [
        ("vit_block__b2_n5_d64_h4", include_bytes!("../reference/vit_block__b2_n5_d64_h4.safetensors")),
        ("vit_block__b1_n17_d32_h2_small", include_bytes!("../reference/vit_block__b1_n17_d32_h2_small.safetensors")),
        ("sf_unetr__f6_depth4", include_bytes!("../reference/sf_unetr__f6_depth4.safetensors")),
        ("unet2d__base3", include_bytes!("../reference/unet2d__base3.safetensors")),
        ("mae_forward__normpix", include_bytes!("../reference/mae_forward__normpix.safetensors")),
        ("mae_forward__rawpix", include_bytes!("../reference/mae_forward__rawpix.safetensors")),
        ("dilated_bottleneck__layer3", include_bytes!("../reference/dilated_bottleneck__layer3.safetensors")),
        ("dilated_bottleneck__layer4", include_bytes!("../reference/dilated_bottleneck__layer4.safetensors")),
        ("fcn_head__c24", include_bytes!("../reference/fcn_head__c24.safetensors")),
        ("dice_focal_loss__closed", include_bytes!("../reference/dice_focal_loss__closed.safetensors")),
        ("dice_focal_loss__smooth1", include_bytes!("../reference/dice_focal_loss__smooth1.safetensors")),
        ("densecl_step__tensors", include_bytes!("../reference/densecl_step__tensors.safetensors")),
        ("densecl_step__neck_wrap", include_bytes!("../reference/densecl_step__neck_wrap.safetensors")),
        ("dice_focal_loss__smooth1e-5", include_bytes!("../reference/dice_focal_loss__smooth1e-5.safetensors")),
    ];

    /// The device of this tab; it can be opened once only.
    pub(crate) async fn gpu() -> Device {
        use std::cell::RefCell;
        thread_local!(static OPEN: RefCell<Option<Device>> = const { RefCell::new(None) });
        if let Some(device) = OPEN.with_borrow(Clone::clone) {
            return device;
        }
        static_constructors();
        let device = Device::wgpu_options().init_async().await.unwrap();
        OPEN.set(Some(device.clone()));
        device
    }

    /// Run them once here; otherwise the linker makes every call from JavaScript run them (see the app's worker).
    #[expect(unsafe_code, reason = "a symbol of the linker; it takes and gives nothing")]
    fn static_constructors() {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        // SAFETY: called once, before anything else of this binary has run on the device.
        unsafe { __wasm_call_ctors() }
    }

    #[wasm_bindgen_test]
    async fn networks_and_losses_match_on_webgpu_and_on_the_cpu() {
        let gpu = gpu().await;
        for (label, device) in [("CPU", Device::flex()), ("WebGPU", gpu)] {
            for (name, bytes) in CASES {
                let result = super::check(bytes, &device).await.unwrap();
                console_log!("{label} {name}: {result:?}");
                assert!(result.is_ok(), "{label} {name}: {result:?}");
            }
        }
    }
}
