"""Cases of `accelerator.py`: configs of this repository with other fields."""

DIT = {'batch_size': 256, 'model.network.remat': 'none'}
GPT = {
    'model.network.shape': '(1024,)', 'model.network.vocab_size': 50304,
    'model.network.features': 768, 'model.network.num_layers': 12, 'model.network.num_heads': 12,
    'model.network.scan': True, 'dataset.context': 1024, 'batch_size': 16,
}  # fmt: skip
UNET = {
    'model.network.shape': '(64,64,3)', 'model.network.features': '(192,384,576,768)',
    'model.network.num_blocks': 3, 'model.network.attention_at': '(32,16,8)',
    'model.network.head_features': 64, 'model.network.resample': 'block',
    'model.network.scale_shift': True, 'batch_size': 64,
}  # fmt: skip
STYLEGAN = {'model.generator.shape': '(128,128,3)', 'batch_size': 32}
TINY_DIT = {
    'model.network.features': 32, 'model.network.num_layers': 2, 'model.network.num_heads': 2,
    'model.network.shape': '(8,8,4)', 'dataset.shape': '(8,8,4)', 'batch_size': 4,
}  # fmt: skip
TINY_GPT = {
    'model.network.shape': '(16,)', 'dataset.context': 16, 'model.network.vocab_size': 65,
    'model.network.features': 16, 'model.network.num_layers': 2, 'model.network.num_heads': 2,
    'batch_size': 4,
}  # fmt: skip
TINY_UNET = {
    'model.network.shape': '(8,8,3)', 'model.network.features': '(8,16)',
    'model.network.attention_at': '(4,)', 'model.network.head_features': 4,
    'model.network.groups': 4, 'batch_size': 4,
}  # fmt: skip
TINY_STYLEGAN = {
    'model.generator.shape': '(8,8,3)', 'model.generator.features': 4,
    'model.generator.max_features': 8, 'model.generator.latent_features': 8,
    'model.generator.mapping_layers': 2, 'model.discriminator.features': 4,
    'model.discriminator.max_features': 8, 'model.latent_dim': 8, 'batch_size': 4,
}  # fmt: skip
# Config, and fields for a CPU.
POPULATIONS = {
    'vae_64': ('digits/vae', {
        'model.encoder.features': '(16,)', 'model.decoder.features': '(16,)', 'batch_size': 8,
    }),
    'flow_64': ('densities/realnvp', {
        'dataset.train_size': 1000, 'model.bijection.layers[1].num': 2, 'batch_size': 8,
    }),
}  # fmt: skip
DTYPES = {
    'imagenet256/dit_xl2': ('model.network.dtype',),
    'cifar10/ddpm': ('model.network.dtype',),
    'shakespeare/gpt': ('model.network.dtype',),
    'ffhq256/stylegan2': ('model.generator.dtype', 'model.discriminator.dtype'),
}
SMALL_DIT = {
    'model.network.features': 768, 'model.network.num_layers': 12, 'model.network.num_heads': 12,
}  # fmt: skip
# Config, fields, fields of the same case for a CPU, and dtype.
CASES = {
    'dit_b2': ('imagenet256/dit_xl2', {**DIT, **SMALL_DIT}, TINY_DIT, 'bfloat16'),
    'dit_xl2': (
        'imagenet256/dit_xl2', {**DIT, 'model.network.remat': 'full'}, TINY_DIT, 'bfloat16'
    ),
    'gpt2': ('shakespeare/gpt', GPT, TINY_GPT, 'bfloat16'),
    'unet64': ('cifar10/ddpm', UNET, TINY_UNET, 'bfloat16'),
    'stylegan2_128': ('ffhq256/stylegan2', STYLEGAN, TINY_STYLEGAN, 'bfloat16'),
    'dit_b2_fp32': ('imagenet256/dit_xl2', {**DIT, **SMALL_DIT}, TINY_DIT, 'float32'),
    'gpt2_fp32': ('shakespeare/gpt', GPT, TINY_GPT, 'float32'),
    'unet64_fp32': ('cifar10/ddpm', UNET, TINY_UNET, 'float32'),
}  # fmt: skip
ORDER = (
    'dit_b2', 'dit_b2_torch', 'gpt2', 'gpt2_torch', 'vae_64', 'flow_64', 'dit_xl2', 'unet64',
    'stylegan2_128', 'dit_b2_fp32', 'gpt2_fp32', 'unet64_fp32',
)  # fmt: skip
