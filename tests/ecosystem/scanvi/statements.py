"""What a user of SCANVI writes, in SCANVI's names: blocks of statements that go together.

Each statement stands for itself: those of a block that fail leave the others to be tried. ``data()``
makes rows of two batches, ``data(n_genes=110)`` some with more genes; ``folder`` is an empty one.
``refuses`` wants the call to end in an error, whatever its kind.
"""

BLOCKS = {
    "seed labelling": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=10)
assert model.is_trained is False
model.train(max_epochs=1, train_size=0.5, check_val_every_n_epoch=1)
assert model.is_trained is True
assert "elbo_train" in model.history
assert "elbo_validation" in model.history
assert "reconstruction_loss_train" in model.history
assert "reconstruction_loss_validation" in model.history
assert "kl_local_train" in model.history
assert "kl_local_validation" in model.history
assert "validation_accuracy" in model.history
assert "validation_classification_loss" in model.history
assert "validation_f1_score" in model.history
assert "validation_calibration_error" in model.history
assert len(model.history["elbo_train"]) == 1
assert abs(len(model.train_indices) - adata.n_obs / 2) < 3
assert abs(len(model.validation_indices) - adata.n_obs / 2) < 3
assert len(model.predict()) == adata.n_obs
assert set(model.predict()) <= {"label_1", "label_2"}
soft = model.predict(soft=True)
assert list(soft.index) == list(adata.obs_names)
assert set(soft.columns) == {"label_1", "label_2"}
np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-4)
adata.obs["C_scANVI"] = model.predict(adata)
adata.obsm["X_scANVI"] = model.get_latent_representation(adata)
assert adata.obsm["X_scANVI"].shape == (adata.n_obs, 10)
str(model)
assert model.device.type == "cpu"
model.to_device("cpu")
""",
    "other rows": """
adata, adata2 = data(), data(seed=1)
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=10)
model.train(max_epochs=1)
assert len(model.predict(adata2, indices=[1, 2, 3])) == 3
assert isinstance(model.predict(adata2, soft=True), pd.DataFrame)
assert len(model.predict(adata2, soft=True, indices=[1, 2, 3])) == 3
assert len(model.predict(adata2[:10])) == 10
assert len(model.predict(batch_size=16)) == adata.n_obs
assert len(model.predict(use_posterior_mean=True)) == adata.n_obs
assert model.get_latent_representation(adata2, indices=[1, 2, 3]).shape == (3, 10)
assert len(model.get_latent_representation(return_dist=True)) == 2
assert model.get_latent_representation(give_mean=False).shape == (adata.n_obs, 10)
assert model.get_normalized_expression(adata2).shape == adata2.shape
assert model.get_elbo(adata2).ndim == 0
assert np.isfinite(float(model.get_marginal_ll(adata2, n_mc_samples=3)))
assert "reconstruction_loss" in model.get_reconstruction_error(adata2)
assert model.get_elbo(adata2[:10]).ndim == 0
assert model.get_elbo(adata.copy()).ndim == 0
model.adata = adata2
assert model.adata is adata2
assert len(model.predict()) == adata2.n_obs
assert model.get_latent_representation().shape == (adata2.n_obs, 10)
assert not np.array_equal(model.get_latent_representation(adata), model.get_latent_representation())
adata3 = data(seed=2)
del adata3.obs["batch"]
refuses(lambda: setattr(model, "adata", adata3))
""",
    "likelihood": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5, gene_likelihood="zinb")
model.train(1, train_size=0.5)
assert model.get_elbo().ndim == 0
assert model.get_elbo(return_mean=False).shape == (adata.n_obs,)
assert model.get_elbo(indices=[0, 1], return_mean=False).shape == (2,)
assert np.ndim(model.get_marginal_ll(n_mc_samples=3)) == 0
assert model.get_marginal_ll(n_mc_samples=3, return_mean=False).shape == (adata.n_obs,)
assert np.ndim(model.get_marginal_ll(n_mc_samples=6, n_mc_samples_per_pass=2)) == 0
assert model.get_reconstruction_error()["reconstruction_loss"].ndim == 0
errors = model.get_reconstruction_error(return_mean=False)
assert errors["reconstruction_loss"].shape == (adata.n_obs,)
params = model.get_likelihood_parameters()
assert params["mean"].shape == adata.shape
assert params["dispersions"].shape == params["dropout"].shape == adata.shape
assert model.get_likelihood_parameters(indices=[1, 2])["mean"].shape == (2, adata.n_vars)
assert model.get_likelihood_parameters(n_samples=3, give_mean=True)["mean"].shape == adata.shape
assert model.get_likelihood_parameters(n_samples=3)["mean"].shape == (3, *adata.shape)
assert model.get_latent_library_size(give_mean=False).shape == (adata.n_obs, 1)
assert model.get_latent_library_size(adata, indices=[1, 2], give_mean=False).shape == (2, 1)
""",
    "expression": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5, gene_likelihood="nb")
model.train(1)
frame = model.get_normalized_expression()
assert list(frame.columns) == list(adata.var_names)
assert list(frame.index) == list(adata.obs_names)
np.testing.assert_allclose(frame.sum(axis=1), 1, rtol=1e-3)
np.testing.assert_allclose(model.get_normalized_expression(library_size=1e4).sum(axis=1), 1e4, rtol=1e-3)
assert model.get_normalized_expression(library_size="latent").shape == adata.shape
assert model.get_normalized_expression(transform_batch="batch_1").shape == adata.shape
assert model.get_normalized_expression(transform_batch=["batch_0", "batch_1"]).shape == adata.shape
assert model.get_normalized_expression(n_samples=1).shape == adata.shape
assert model.get_normalized_expression(n_samples=2).shape == adata.shape
assert model.get_normalized_expression(n_samples=2, return_mean=False).shape == (2, *adata.shape)
assert isinstance(model.get_normalized_expression(return_numpy=True), np.ndarray)
assert len(model.get_normalized_expression(n_samples_overall=7, return_numpy=True)) == 7
assert list(model.get_normalized_expression(gene_list=["gene_1", "gene_2"]).columns) == ["gene_1", "gene_2"]
assert model.get_normalized_expression(indices=[1, 2, 3]).shape == (3, adata.n_vars)
assert model.get_normalized_expression(batch_size=16, silent=True).shape == adata.shape
sample = model.posterior_predictive_sample()
assert sample.shape == adata.shape
assert model.posterior_predictive_sample(indices=[1, 2, 3], gene_list=["gene_1", "gene_2"]).shape == (3, 2)
assert model.posterior_predictive_sample(indices=[1, 2, 3], n_samples=3).shape == (3, adata.n_vars, 3)
assert model.posterior_predictive_sample(transform_batch=["batch_1", "batch_0"]).shape == adata.shape
matrix = model.get_feature_correlation_matrix(correlation_type="pearson", n_samples=2)
assert matrix.shape == (adata.n_vars, adata.n_vars)
np.testing.assert_allclose(np.diag(matrix), 1, rtol=1e-5)
assert model.get_feature_correlation_matrix(indices=range(40), n_samples=5, rna_size_factor=500).shape == matrix.shape
assert model.get_feature_correlation_matrix(indices=range(40), transform_batch=["batch_0", "batch_1"]).shape == matrix.shape
""",
    "differential expression": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5)
model.train(1)
found = model.differential_expression(groupby="labels", group1="label_1", mode="change")
assert set(found.index) == set(adata.var_names)
assert {"proba_de", "lfc_mean", "is_de_fdr_0.05", "raw_mean1"} <= set(found.columns)
assert found["comparison"].unique().tolist() == ["label_1 vs Rest"]
pair = model.differential_expression(groupby="labels", group1="label_1", group2="label_2", mode="change")
assert pair["comparison"].unique().tolist() == ["label_1 vs label_2"]
assert len(model.differential_expression(groupby="labels", mode="change")) >= 2 * adata.n_vars
vanilla = model.differential_expression(idx1=[0, 1, 2], idx2=[3, 4, 5], mode="vanilla")
assert {"proba_m1", "bayes_factor"} <= set(vanilla.columns)
assert len(model.differential_expression(idx1=[0, 1, 2], mode="change")) == adata.n_vars
assert len(model.differential_expression(idx1="batch == 'batch_0'", mode="change")) == adata.n_vars
assert len(model.differential_expression(groupby="batch", batch_correction=True, mode="change")) == 2 * adata.n_vars
assert len(model.differential_expression(idx1=np.arange(20), idx2=20 + np.arange(20), mode="vanilla", weights="uniform")) == adata.n_vars
assert len(model.differential_expression(groupby="labels", group1="label_1", mode="change", pseudocounts=1e-4)) == adata.n_vars
assert len(model.differential_expression(groupby="labels", group1="label_1", mode="change", delta=0.5, fdr_target=0.1)) == adata.n_vars
model.differential_expression(groupby="labels", group1="label_1", weights="importance")
refuses(lambda: model.differential_expression(groupby="nothing"))
model.differential_abundance(sample_key="batch")
assert adata.obsm["da_log_probs"].shape == (adata.n_obs, 2)
posterior = model.get_aggregated_posterior(indices=[0, 1, 2])
assert posterior.log_prob(torch.zeros(5)).ndim == 0
""",
    "all rows labelled": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="asdf", batch_key="batch")
model = SCANVI(adata)
model.train(1)
assert set(model.predict()) <= {"label_0", "label_1", "label_2"}
""",
    "no batches": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0")
model = SCANVI(adata)
model.train(max_epochs=1)
assert len(model.predict()) == adata.n_obs
assert model.get_normalized_expression().shape == adata.shape
""",
    "layer, sparse, size factors": """
adata = data()
adata.layers["counts"] = sparse.csr_matrix(adata.X)
adata.X = np.log1p(adata.X)
adata.obs["size_factor"] = np.random.default_rng(0).uniform(0.5, 2, adata.n_obs)
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch", layer="counts", size_factor_key="size_factor")
model = SCANVI(adata, n_latent=5)
model.train(1, train_size=0.5)
assert model.get_latent_representation().shape == (adata.n_obs, 5)
assert model.get_elbo().ndim == 0
assert model.get_normalized_expression().shape == adata.shape
assert "X" in model.adata_manager.data_registry
model.view_anndata_setup()
model.view_anndata_setup(hide_state_registries=True)
""",
    "integer batches": """
adata = data()
adata.obs["batch"] = (np.arange(adata.n_obs) % 2).astype(int)
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata)
model.train(1)
assert model.get_normalized_expression(transform_batch=1).shape == adata.shape
assert model.get_normalized_expression(transform_batch=[0, 1]).shape == adata.shape
""",
    "covariates": """
adata = data()
rng = np.random.default_rng(0)
adata.obs["cont1"], adata.obs["cont2"] = rng.normal(size=adata.n_obs), rng.normal(size=adata.n_obs)
adata.obs["cat1"], adata.obs["cat2"] = rng.integers(0, 5, adata.n_obs), rng.integers(0, 5, adata.n_obs)
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="Unknown", batch_key="batch", continuous_covariate_keys=["cont1", "cont2"], categorical_covariate_keys=["cat1", "cat2"])
model = SCANVI(adata)
model.train(1)
assert model.get_latent_representation().shape[0] == adata.n_obs
assert model.get_elbo().ndim == 0
assert np.isfinite(float(model.get_marginal_ll(n_mc_samples=3)))
assert "reconstruction_loss" in model.get_reconstruction_error()
assert model.get_normalized_expression(n_samples=1).shape == adata.shape
assert model.summary_stats["n_extra_categorical_covs"] == 2
assert model.summary_stats["n_extra_continuous_covs"] == 2
SCANVI(adata, encode_covariates=True)
""",
    "splits": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5)
train, validation, test = np.arange(60), np.arange(60, 90), np.arange(90, adata.n_obs)
model.train(1, datasplitter_kwargs={"external_indexing": [train, np.arange(60, adata.n_obs)]})
assert set(model.train_indices) == set(train)
assert set(model.validation_indices) == set(range(60, adata.n_obs))
model.train(1, datasplitter_kwargs={"external_indexing": [train, validation, test]})
assert set(model.train_indices) == set(train)
assert set(model.validation_indices) == set(validation)
assert set(model.test_indices) == set(test)
assert len(model.predict(indices=test)) == len(test)
model.train(1, train_size=0.5, validation_size=0.25)
assert len(model.test_indices) == adata.n_obs // 4
refuses(lambda: model.train(1, train_size=0.9, validation_size=0.3))
refuses(lambda: model.train(1, train_size=1.5))
refuses(lambda: model.train(1, datasplitter_kwargs={"external_indexing": [train, train]}))
""",
    "training": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5)
monitor = LearningRateMonitor()
model.train(max_epochs=2, callbacks=[monitor], check_val_every_n_epoch=1, log_every_n_steps=1)
assert any(name.startswith("lr-") for name in model.history)
model.train(max_epochs=1, plan_kwargs={"lr": 1e-3, "weight_decay": 0.0})
model.train(1, early_stopping=True, early_stopping_patience=5, early_stopping_monitor="elbo_validation", early_stopping_min_delta=0.0, check_val_every_n_epoch=1)
model.train(1, accelerator="cpu", devices=1, batch_size=32)
model.train(1, gradient_clip_val=1.0)
model.train(1, logger=CSVLogger(folder))
model.train(1, n_samples_per_label=10)
model.train(1, plan_kwargs={"n_epochs_kl_warmup": 10, "classification_ratio": 100.0})
refuses(lambda: model.train(1, nonsense=3))
""",
    "seeds": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
scvi.settings.seed = 1
first = SCANVI(adata)
first.train(1)
scvi.settings.seed = 1
second = SCANVI(adata)
second.train(1)
np.testing.assert_array_equal(first.get_latent_representation(), second.get_latent_representation())
scvi.settings.seed = 2
third = SCANVI(adata)
third.train(1)
assert not np.array_equal(first.get_latent_representation(), third.get_latent_representation())
""",
    "saving": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5)
model.train(max_epochs=1, train_size=0.5)
p1, z1, split = model.predict(), model.get_latent_representation(), model.validation_indices
model.save(f"{folder}/m", overwrite=True, save_anndata=True)
refuses(lambda: model.save(f"{folder}/m"))
model.view_setup_args(f"{folder}/m")
assert SCANVI.load_registry(f"{folder}/m")["setup_args"]["labels_key"] == "labels"
loaded = SCANVI.load(f"{folder}/m")
np.testing.assert_array_equal(loaded.get_latent_representation(), z1)
loaded = SCANVI.load(f"{folder}/m", adata=adata)
assert "batch" in loaded.adata_manager.data_registry
np.testing.assert_array_equal(loaded.predict(), p1)
np.testing.assert_array_equal(loaded.get_latent_representation(), z1)
np.testing.assert_array_equal(loaded.validation_indices, split)
assert loaded.is_trained is True
assert loaded.history.keys() == model.history.keys()
assert loaded.get_elbo().ndim == 0
assert len(loaded.predict(data(seed=1))) == adata.n_obs
renamed = data(seed=1)
renamed.obs["batch"] = renamed.obs["batch"].cat.rename_categories(["batch_2", "batch_3"])
refuses(lambda: SCANVI.load(f"{folder}/m", adata=renamed))
refuses(lambda: SCANVI.load(f"{folder}/nothing"))
model.save(f"{folder}/p", prefix="first_")
loaded.train(1)
assert loaded.is_trained is True
""",
    "backed": """
data().write_h5ad(f"{folder}/backed.h5ad")
adata = anndata.read_h5ad(f"{folder}/backed.h5ad", backed="r+")
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5)
model.train(1, train_size=0.5)
assert model.get_latent_representation().shape == (adata.n_obs, 5)
assert model.get_elbo().ndim == 0
assert len(model.predict()) == adata.n_obs
adata.file.close()
""",
    "query mapping": """
adata = data()
adata.obs["cont1"] = np.random.default_rng(0).normal(size=adata.n_obs)
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="Unknown", batch_key="batch", continuous_covariate_keys=["cont1"])
model = SCANVI(adata, n_latent=5)
model.train(max_epochs=1, check_val_every_n_epoch=1)
model.save(f"{folder}/ref", overwrite=True)
query = data(seed=1)
query.obs["batch"] = query.obs["batch"].cat.rename_categories(["batch_2", "batch_3"])
query.obs["labels"] = "Unknown"
query.obs["cont1"] = np.random.default_rng(1).normal(size=query.n_obs)
mapped = SCANVI.load_query_data(query, f"{folder}/ref", freeze_batchnorm_encoder=True)
mapped.train(max_epochs=1, plan_kwargs={"weight_decay": 0.0})
assert mapped.get_latent_representation().shape == (query.n_obs, 5)
assert len(mapped.predict()) == query.n_obs
assert mapped.get_elbo().ndim == 0
assert mapped.get_normalized_expression().shape == query.shape
del query.obs["labels"]
mapped = SCANVI.load_query_data(query, f"{folder}/ref")
mapped.train(max_epochs=1)
assert len(mapped.predict()) == query.n_obs
full = data(seed=2)
full.obs["batch"] = full.obs["batch"].cat.rename_categories(["batch_2", "batch_3"])
full.obs["cont1"] = 0.5
mapped = SCANVI.load_query_data(full, model, unfrozen=True)
mapped.train(max_epochs=1)
mapped.save(f"{folder}/mapped", overwrite=True)
again = SCANVI.load(f"{folder}/mapped", adata=full)
np.testing.assert_array_equal(again.predict(), mapped.predict())
assert again.get_elbo().ndim == 0
SCANVI.load_query_data(full, model, freeze_classifier=False)
del full.obs["cont1"]
refuses(lambda: SCANVI.load_query_data(full, model))
""",
    "genes of a query": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata, n_latent=5)
model.train(1)
model.save(f"{folder}/ref", overwrite=True)
more = data(n_genes=110, seed=1)
SCANVI.prepare_query_anndata(more, f"{folder}/ref")
assert list(more.var_names) == list(adata.var_names)
mapped = SCANVI.load_query_data(more, f"{folder}/ref")
mapped.train(1, plan_kwargs={"weight_decay": 0.0})
ready = SCANVI.prepare_query_anndata(more, f"{folder}/ref", inplace=False)
assert ready.shape == adata.shape
fewer = data(n_genes=110, seed=2)
fewer.var_names = [f"random_{i}" for i in range(10)] + list(fewer.var_names[10:])
SCANVI.prepare_query_anndata(fewer, f"{folder}/ref")
assert float(np.asarray(fewer[:, :10].X.sum())) == 0
assert list(fewer.var_names) == list(adata.var_names)
mapped = SCANVI.load_query_data(fewer, model)
mapped.train(1, train_size=0.5)
assert len(mapped.predict()) == fewer.n_obs
subset = data(n_genes=110, seed=3)
mapped = SCANVI.load_query_data(subset, model, inplace_subset_query_vars=True)
assert subset.n_vars == adata.n_vars
assert list(SCANVI.prepare_query_anndata(subset, model, return_reference_var_names=True)) == list(adata.var_names)
""",
    "from SCVI": """
adata = data()
scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
first = scvi.model.SCVI(adata, n_latent=5)
model = SCANVI.from_scvi_model(first, "label_0", labels_key="labels")
model.train(1)
assert model.get_latent_representation().shape == (adata.n_obs, 5)
assert set(model.predict()) <= {"label_1", "label_2"}
adata2 = data(seed=1)
model = SCANVI.from_scvi_model(first, "label_0", labels_key="labels", adata=adata2)
model.train(1)
assert len(model.predict()) == adata2.n_obs
refuses(lambda: SCANVI.from_scvi_model(first, "label_0", labels_key=None, adata=adata2))
""",
    "left out": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
SCANVI(adata, dispersion="gene")
SCANVI(adata, dispersion="gene-batch")
SCANVI(adata, linear_classifier=True)
SCANVI(adata, use_observed_lib_size=True)
model = SCANVI(adata, n_latent=5)
model.train(1)
adata.obsm["X_latent_qzm"], adata.obsm["X_latent_qzv"] = model.get_latent_representation(return_dist=True)
model.minify_adata(use_latent_qzm_key="X_latent_qzm", use_latent_qzv_key="X_latent_qzv")
""",
    "registry": """
adata = data()
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_0", batch_key="batch")
model = SCANVI(adata)
assert model.summary_stats["n_cells"] == adata.n_obs
assert model.summary_stats["n_vars"] == adata.n_vars
assert model.summary_stats["n_batch"] == 2
assert model.registry["setup_args"]["batch_key"] == "batch"
assert model.get_anndata_manager(adata) is not None
assert model.get_from_registry(adata, "X").shape == adata.shape
assert list(model.get_var_names()) == list(adata.var_names)
SCANVI.setup_anndata(adata, labels_key="labels", unlabeled_category="label_1", batch_key="batch")
assert "label_0" in SCANVI(adata).adata_manager.get_state_registry("labels").categorical_mapping
bad = data()
refuses(lambda: SCANVI.setup_anndata(bad, labels_key="no column", unlabeled_category="x", batch_key="batch"))
refuses(lambda: SCANVI.setup_anndata(bad, labels_key="labels", unlabeled_category="x", batch_key="no column"))
refuses(lambda: SCANVI.setup_anndata(bad, labels_key="labels", unlabeled_category="x", layer="no layer"))
""",
}
