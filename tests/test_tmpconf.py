def test_x(tiny_llava, make_sample, tiny_sam_config):
    import os
    print(os.listdir(tiny_llava)); s=make_sample(); print(s.lmm_inputs)
    from flmm.models.mask_refiners import SAMRefiner
    r=SAMRefiner(config=tiny_sam_config); print(r.mask_side, r.text_channels)
    from safetensors import safe_open
    with safe_open(str(tiny_llava/'model.safetensors'),'pt') as f: print(list(f.keys())[:5], len(list(f.keys())))
