"""Architectures of the transformers library, tiny and with random weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers as library
from torch import Tensor

from tests.interop.zoo.architecture import Architecture, Dimensions, Inputs, Outputs

WORDS = 40
SMALL = {
    "vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
GROUPED = SMALL | {"num_attention_heads": 4, "num_key_value_heads": 2}
GPT = {
    "vocab_size": WORDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
TWO_WAY = {
    "vocab_size": WORDS, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
T5 = {
    "vocab_size": WORDS, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": 0,
}  # fmt: skip
PATCHES = {
    "image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip
SPEECH = {
    "vocab_size": 10, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": [8, 8], "conv_stride": [5, 2], "conv_kernel": [10, 3],
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0,
    "mask_time_prob": 0.0,
}  # fmt: skip
WHISPER = TWO_WAY | {
    "num_mel_bins": 8, "max_source_positions": 16, "max_target_positions": 16,
}  # fmt: skip
STAGES = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
SHIFTED = {
    "image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4],
    "window_size": 4,
}  # fmt: skip
PYRAMID = {
    "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 16],
    "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2], "decoder_hidden_size": 8,
}  # fmt: skip
BLOCKS = {
    "width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320,
    "in_channels": [32, 16, 24], "out_channels": [16, 24, 40], "kernel_sizes": [3, 3, 5],
    "strides": [1, 2, 2], "num_block_repeats": [1, 1, 1], "expand_ratios": [1, 6, 6],
    "depthwise_padding": [],
}  # fmt: skip
TEXT_TOWER = {key: value for key, value in SMALL.items() if key != "num_hidden_layers"}
TOWERS = {
    "text_config": TEXT_TOWER | {"num_hidden_layers": 1},
    "vision_config": PATCHES | {"image_size": 16, "num_hidden_layers": 1},
    "projection_dim": 8,
}

LENGTHS = {0: "batch", 1: "length"}
SQUARES = {0: "batch", 2: "height", 3: "width"}


def words(batch: int, length: int) -> Tensor:
    """Words without those that mean something, such as the end."""
    return torch.randint(3, WORDS, (batch, length))


def present(batch: int, length: int) -> Tensor:
    """A mask of words that are there; the last two of the first text are not."""
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[0, -2:] = 0
    return mask


def build(kind: str, settings: dict[str, Any]) -> torch.nn.Module:
    """A model of the library; its configuration's class follows from its name."""
    model = getattr(library, kind)
    return model(model.config_class(**settings))


def wrapped(
    model: torch.nn.Module, given: Callable[[int, int], Inputs], names: Dimensions, outputs: str,
    **options: object,
) -> Architecture:  # fmt: skip
    """The architecture of a model that takes named inputs."""
    inputs, others = given(2, 7), given(3, 5)
    return Architecture(Outputs(model, inputs, outputs, **options), inputs, others, names)


def text(
    kind: str, settings: dict[str, Any], outputs: str = "last_hidden_state", **options: object
) -> Architecture:
    """A model over words and a mask."""
    names = {"input_ids": LENGTHS, "attention_mask": LENGTHS}
    return wrapped(
        build(kind, settings),
        lambda b, n: {"input_ids": words(b, n), "attention_mask": present(b, n)},
        names, outputs, **options,
    )  # fmt: skip


def language(kind: str, settings: dict[str, Any]) -> Architecture:
    """A model that predicts the next word."""
    return text(kind, settings, "logits", use_cache=False)


def image(
    kind: str, settings: dict[str, Any], outputs: str = "logits", size: int = 32, is_fixed=True
) -> Architecture:
    """A model over images; a fixed one takes one size."""

    def given(batch: int, length: int) -> Inputs:
        side = size if is_fixed or length == 7 else size + 32
        return {"pixel_values": torch.randn(batch + 1, 3, side, side)}

    names = {"pixel_values": {0: "batch"} if is_fixed else SQUARES}
    return wrapped(build(kind, settings), given, names, outputs)


def pair(kind: str, settings: dict[str, Any], outputs: str) -> Architecture:
    """A model that reads one text and writes another."""
    names = {"input_ids": LENGTHS, "decoder_input_ids": {0: "batch", 1: "written"}}
    return wrapped(
        build(kind, settings),
        lambda b, n: {"input_ids": words(b, n), "decoder_input_ids": words(b, n - 2)},
        names, outputs, use_cache=False,
    )  # fmt: skip


def sound(kind: str, settings: dict[str, Any], outputs: str) -> Architecture:
    """A model over samples of sound."""
    names = {"input_values": {0: "batch", 1: "samples"}}
    return wrapped(
        build(kind, settings),
        lambda b, n: {"input_values": torch.randn(b, 190 + 30 * n)}, names, outputs,
    )  # fmt: skip


def listener() -> Architecture:
    """Whisper: spectrograms and words to words."""
    names = {"input_features": {0: "batch"}, "decoder_input_ids": LENGTHS}
    return wrapped(
        build("WhisperForConditionalGeneration", WHISPER),
        lambda b, n: {"input_features": torch.randn(b, 8, 32), "decoder_input_ids": words(b, n)},
        names, "logits", use_cache=False,
    )  # fmt: skip


def towers() -> Architecture:
    """CLIP: which text fits which image."""
    names = {"input_ids": LENGTHS, "pixel_values": {0: "images"}, "attention_mask": LENGTHS}
    return wrapped(
        build("CLIPModel", TOWERS),
        lambda b, n: {
            "input_ids": words(b, n), "pixel_values": torch.randn(b, 3, 16, 16),
            "attention_mask": present(b, n),
        },
        names, "logits_per_image",
    )  # fmt: skip


def detector() -> Architecture:
    """DETR over a small ResNet: classes and boxes of five objects."""
    backbone = library.ResNetConfig(**STAGES, layer_type="basic", out_features=["stage2"])
    settings = {k: v for k, v in TWO_WAY.items() if k != "vocab_size"}
    settings |= {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    settings |= {"backbone_config": backbone, "num_queries": 5, "num_labels": 3}
    return image("DetrForObjectDetection", settings, "logits pred_boxes", 64)


_TABLE: dict[str, tuple[Callable[..., Architecture], Any]] = {
    "albert": (text, ("AlbertModel", SMALL | {"embedding_size": 8})),
    "bert": (text, ("BertForSequenceClassification", SMALL | {"num_labels": 3}, "logits")),
    "deberta": (text, ("DebertaV2Model", SMALL | {
        "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4,
    })),
    "distilbert": (text, ("DistilBertModel", {
        "vocab_size": WORDS, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32,
        "max_position_embeddings": 32,
    })),
    "electra": (text, ("ElectraModel", SMALL | {"embedding_size": 8})),
    "modernbert": (text, ("ModernBertModel", SMALL | {
        "cls_token_id": 1, "sep_token_id": 2, "local_attention": 4,
    })),
    "roberta": (text, ("RobertaModel", SMALL)),
    "t5_encoder": (text, ("T5EncoderModel", T5 | {"feed_forward_proj": "gated-gelu"})),
    "bloom": (language, ("BloomForCausalLM", {
        "vocab_size": WORDS, "hidden_size": 16, "n_layer": 2, "n_head": 2,
    })),
    "gemma": (language, ("Gemma2ForCausalLM", GROUPED | {"head_dim": 8, "sliding_window": 4})),
    "gpt2": (language, ("GPT2LMHeadModel", GPT)),
    "gptj": (language, ("GPTJForCausalLM", GPT | {"rotary_dim": 4})),
    "llama": (language, ("LlamaForCausalLM", GROUPED)),
    "mistral": (language, ("MistralForCausalLM", GROUPED | {"sliding_window": 4})),
    "opt": (language, ("OPTForCausalLM", SMALL | {"ffn_dim": 32, "word_embed_proj_dim": 8})),
    "phi": (language, ("PhiForCausalLM", SMALL)),
    "qwen": (language, ("Qwen2ForCausalLM", GROUPED)),
    "bart": (pair, ("BartModel", TWO_WAY, "last_hidden_state")),
    "marian": (pair, ("MarianModel", TWO_WAY, "last_hidden_state")),
    "t5": (pair, ("T5ForConditionalGeneration", T5, "logits")),
    "hubert": (sound, ("HubertModel", SPEECH, "last_hidden_state")),
    "wav2vec": (sound, ("Wav2Vec2ForCTC", SPEECH, "logits")),
    "wavlm": (sound, ("WavLMModel", SPEECH | {
        "num_buckets": 8, "max_bucket_distance": 16,
    }, "last_hidden_state")),
    "beit": (image, ("BeitModel", PATCHES | {
        "use_relative_position_bias": True,
    }, "last_hidden_state")),
    "convnext": (image, ("ConvNextForImageClassification", {
        "hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "num_labels": 5,
    }, "logits", 32, False)),
    "deit": (image, ("DeiTModel", PATCHES, "last_hidden_state")),
    "dinov2": (image, ("Dinov2Model", PATCHES, "last_hidden_state")),
    "efficientnet": (image, ("EfficientNetForImageClassification", BLOCKS, "logits", 64)),
    "regnet": (image, ("RegNetForImageClassification", STAGES | {
        "groups_width": 4, "num_labels": 5,
    }, "logits", 64)),
    "resnet": (image, ("ResNetForImageClassification", STAGES | {
        "layer_type": "basic", "num_labels": 5,
    }, "logits", 32, False)),
    "segformer": (image, ("SegformerForSemanticSegmentation", PYRAMID, "logits", 32, False)),
    "swin": (image, ("SwinForImageClassification", SHIFTED | {"num_labels": 5})),
    "vit": (image, ("ViTForImageClassification", PATCHES | {"num_labels": 5})),
    "clip": (towers, ()),
    "detr": (detector, ()),
    "whisper": (listener, ()),
}  # fmt: skip

ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    name: partial(make, *arguments) for name, (make, arguments) in _TABLE.items()
}
