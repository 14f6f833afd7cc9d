"""What the probes look for in each kind of host, by hand; the stand-ins have three blocks."""

BLOCK = ("norm1", "norm2", "mlp", "attn.qkv", "attn.proj")
STACKS = [
    f"{stack}.{number}.{part}" for stack in ("STEblocks", "TTEblocks") for number in (0, 2) for part in BLOCK
]
TRUNK = ["Spatial_patch_to_embedding", "Spatial_norm", "Temporal_norm", "head", *STACKS]
TEXT = ["temporal_cross_attn", "textTransEncoder", "clip_text.token_embedding"]
MODULES = {
    "MixSTE": TRUNK,
    "D3DP denoiser": [*TRUNK, "time_mlp"],
    "MotionBERT DSTformer": [
        *("joints_embed", "norm", "pre_logits", "head"),
        *(
            f"blocks_{order}.{number}.{part}_{axis}{layer}"
            for order in ("st", "ts")
            for number in (0, 2)
            for axis in ("s", "t")
            for part, layer in (
                ("norm1", ""),
                ("norm2", ""),
                ("mlp", ""),
                ("attn", ".qkv"),
                ("attn", ".proj"),
            )
        ),
    ],
    "FinePOSE denoiser": [*TRUNK, "time_mlp", *TEXT],
    "KTPFormer": [
        *("Spatial_norm", "Temporal_norm", "head", *STACKS),
        *(
            f"{block}.{part}"
            for block, prior in (("kpattention", "kpa"), ("tpattention", "tpa"))
            for part in ("norm2", "mlp", f"attn.{prior}", "attn.qkv", "attn.proj", "attn.norm1")
        ),
        *(
            f"tpattention.attn.tpa.{layer}.{part}"
            for layer in ("gconv1", "gconv2")
            for part in ("gconv", "bn")
        ),
    ],
    "STCFormer": [
        *("pose_emb", "gelu", "regress_head"),
        *(
            f"stcformer.stc_block.{number}.{part}"
            for number in (0, 2)
            for part in ("layer_norm", "mlp", *(f"stc_att.{x}" for x in ("qkv", "layer_norm", "proj", "emb")))
        ),
        *(f"stcformer.stc_block.1.stc_att.{x}" for x in ("sep2_t", "sep2_s", "drop")),
    ],
    "MotionAGFormer": [
        *("joints_embed", "norm", "rep_logit", "head"),
        *(
            f"layers.{number}.{stream}.{part}"
            for number in (0, 2)
            for stream in ("att_spatial", "att_temporal", "graph_spatial", "graph_temporal")
            for part in ("norm1", "norm2", "mlp", *(("mixer.U", "mixer.V") if "graph" in stream else ()))
        ),
        *(
            f"layers.1.{stream}.mixer.{x}"
            for stream in ("att_spatial", "att_temporal")
            for x in ("qkv", "proj")
        ),
    ],
}
NUMBERS = {
    "MixSTE": [
        "Spatial_patch_to_embedding.in_features",
        "STEblocks.1.attn.num_heads",
        "TTEblocks.0.attn.num_heads",
    ],
    "D3DP denoiser": ["TTEblocks.2.attn.num_heads"],
    "MotionBERT DSTformer": ["joints_embed.in_features", "blocks_st.0.attn_t.num_heads"],
    "FinePOSE denoiser": ["clip_text.token_embedding.num_embeddings"],
    "KTPFormer": ["kpattention.attn.kpa.gconv.in_features", "tpattention.attn.num_heads"],
    "STCFormer": [
        *("stcformer.d_time", "stcformer.d_joint", "stcformer.stc_block.0.stc_att.head"),
        *("pose_emb.in_features", "pose_emb.out_features"),
    ],
    "MotionAGFormer": [
        *("joints_embed.in_features", "layers.0.graph_temporal.mixer.num_nodes"),
        "layers.0.att_temporal.mixer.num_heads",
    ],
}
TABLES = {
    "MixSTE": [("Spatial_pos_embed", 3), ("Temporal_pos_embed", 3)],
    "MotionBERT DSTformer": [("temp_embed", 4), ("pos_embed", 3)],
    "KTPFormer": [("kpattention.attn.Spatial_pos_embed", 3), ("tpattention.attn.Temporal_pos_embed", 3)],
    "MotionAGFormer": [("pos_embed", 3)],
}
STACK_PLACES = ["", "STEblocks.1", "TTEblocks.2", "STEblocks.0.attn", "TTEblocks.1.attn"]
PLACES = {
    "MixSTE": STACK_PLACES,
    "D3DP denoiser": STACK_PLACES,
    "MotionBERT DSTformer": ["", "blocks_st.2", "blocks_ts.0", "blocks_st.0.attn_s", "blocks_ts.1.attn_t"],
    "FinePOSE denoiser": STACK_PLACES,
    "KTPFormer": [
        *STACK_PLACES,
        *(f"{block}{part}" for block in ("kpattention", "tpattention") for part in ("", ".attn")),
        "tpattention.attn.tpa",
    ],
    "STCFormer": ["", "stcformer.stc_block.2", "stcformer.stc_block.0.stc_att"],
    "MotionAGFormer": [
        *("", "layers.1", "layers.2.att_spatial", "layers.0.graph_temporal", "layers.0.att_temporal.mixer"),
        "layers.1.graph_spatial.mixer",
    ],
}
TABLE = "a table of 3 axes, the first of size 1"
STACKED = [
    "STEblocks, a ModuleList",
    "TTEblocks, a ModuleList",
    "as many STEblocks as TTEblocks, at least one",
]
ENDS = ["Spatial_norm, a Module", "Temporal_norm, a Module", "head, a Module"]
BARE_TRUNK = [
    *("Spatial_patch_to_embedding, a Module", "Spatial_patch_to_embedding.in_features, an int"),
    *(f"Spatial_pos_embed, {TABLE}", f"Temporal_pos_embed, {TABLE}", *STACKED, *ENDS),
    "TTEblocks.0.attn.num_heads, an int",
]
BARE = {
    "MixSTE": BARE_TRUNK,
    "D3DP denoiser": [*BARE_TRUNK, "time_mlp, a Module"],
    "MotionBERT DSTformer": [
        *("joints_embed, a Module", "norm, a Module", "pre_logits, a Module", "head, a Module"),
        *("joints_embed.in_features, an int", "temp_embed, a table of 4 axes, the first of size 1"),
        *(f"pos_embed, {TABLE}", "blocks_st, a ModuleList", "blocks_ts, a ModuleList"),
        *("as many blocks_st as blocks_ts, at least one", "blocks_st.0.attn_t.num_heads, an int"),
    ],
    "FinePOSE denoiser": [
        *(*BARE_TRUNK, "time_mlp, a Module", "temporal_cross_attn, a Module", "textTransEncoder, a Module"),
        *("clip_text.token_embedding, a Module", "clip_text.token_embedding.num_embeddings, an int"),
        "encode_text, a function of the prompts",
    ],
    "KTPFormer": [
        *(*STACKED, *ENDS),
        *(f"{path}, a Module" for path in MODULES["KTPFormer"] if "attention" in path),
        "kpattention.attn.kpa.gconv.in_features, an int",
        *(f"kpattention.attn.Spatial_pos_embed, {TABLE}", f"tpattention.attn.Temporal_pos_embed, {TABLE}"),
        "tpattention.attn.num_heads, an int",
    ],
    "STCFormer": [
        *("pose_emb, a Module", "gelu, a Module", "regress_head, a Module"),
        *("stcformer.stc_block, a ModuleList", "at least one stcformer.stc_block"),
        *(f"{path}, an int" for path in NUMBERS["STCFormer"]),
    ],
    "MotionAGFormer": [
        *("joints_embed, a Module", "norm, a Module", "rep_logit, a Module", "head, a Module"),
        *("layers, a Sequential", "at least one layer", "joints_embed.in_features, an int"),
        *(f"pos_embed, {TABLE}", *(f"{path}, an int" for path in NUMBERS["MotionAGFormer"][1:])),
    ],
}
