//! What a pickle is made of, as far as it matters for tensors, and the names that it may mention.

use crate::checkpoint::numbers::Element;

/// The place of a value in its pickle. Values refer to each other by place, so that shared and circular ones cost
/// nothing.
pub(in crate::checkpoint) type Id = u32;

/// A value, as far as it matters for tensors.
#[derive(Debug)]
pub(in crate::checkpoint) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Storage<'a>),
    Tensor(Box<View<'a>>),
    /// Something that holds no weights: a number with a fraction, bytes, an object of the list [`INERT`].
    Inert,
}

/// A run of numbers in the file, as the pickle claims it.
#[derive(Clone, Copy, Debug)]
pub(in crate::checkpoint) struct Storage<'a> {
    /// Type of its numbers.
    pub(in crate::checkpoint) element: Element,
    /// How the file calls it.
    pub(in crate::checkpoint) key: &'a str,
    /// Numbers that it should have.
    pub(in crate::checkpoint) count: i64,
    /// Where this view of it begins, in numbers; only old files have such views.
    pub(in crate::checkpoint) offset: i64,
}

/// A tensor as the pickle claims it; nothing is checked yet. Offset and strides count numbers.
#[derive(Debug)]
pub(in crate::checkpoint) struct View<'a> {
    pub(in crate::checkpoint) storage: Storage<'a>,
    pub(in crate::checkpoint) offset: i64,
    pub(in crate::checkpoint) shape: Vec<i64>,
    pub(in crate::checkpoint) strides: Vec<i64>,
}

/// What the names stand for that a checkpoint may mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    StorageOf(Element),
    Inert,
}

/// Objects that training programs save beside the weights. They become [`Value::Inert`], whatever they hold.
const INERT: [(&str, &str); 36] = [
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("builtins", "dict"),
    ("builtins", "object"),
    ("builtins", "set"),
    ("__builtin__", "dict"),
    ("__builtin__", "object"),
    ("__builtin__", "set"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("torch", "device"),
    ("torch", "float16"),
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("typing", "Any"),
    // Lightning's settings of a run, and omegaconf's.
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning.pytorch.utilities.parsing", "AttributeDict"),
    ("lightning_fabric.utilities.data", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("pytorch_lightning.callbacks.early_stopping", "EarlyStopping"),
    ("omegaconf.dictconfig", "DictConfig"),
    ("omegaconf.listconfig", "ListConfig"),
    ("omegaconf.base", "ContainerMetadata"),
    ("omegaconf.base", "Metadata"),
    ("omegaconf.nodes", "AnyNode"),
];

/// What a name stands for; none for names that are not on the list.
pub(super) fn known(module: &str, name: &str) -> Option<Name> {
    let storage = match name {
        "DoubleStorage" => Some(Element::F64),
        "FloatStorage" => Some(Element::F32),
        "HalfStorage" => Some(Element::F16),
        "BFloat16Storage" => Some(Element::Bf16),
        "LongStorage" => Some(Element::I64),
        "IntStorage" => Some(Element::I32),
        "ShortStorage" => Some(Element::I16),
        "CharStorage" => Some(Element::I8),
        "ByteStorage" => Some(Element::U8),
        "BoolStorage" => Some(Element::Bool),
        _ => None,
    };
    match (module, name, storage) {
        ("torch" | "torch.cuda", _, Some(element)) => Some(Name::StorageOf(element)),
        ("collections", "OrderedDict", _) => Some(Name::OrderedDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2", _) => Some(Name::RebuildTensor),
        ("torch._utils", "_rebuild_parameter", _) => Some(Name::RebuildParameter),
        ("torch", "Size", _) => Some(Name::Size),
        _ => INERT.contains(&(module, name)).then_some(Name::Inert),
    }
}
