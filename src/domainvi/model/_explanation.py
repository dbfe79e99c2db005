"""The genes that predictions rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from domainvi.explain import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import ArrayLike

    from domainvi.explain import Method


class ExplanationMixin:
    """``explain`` for every model with heads."""

    def explain(
        self: Any,
        adata: AnnData | None = None,
        *,
        method: Method = "deeplift",
        indices: Sequence[int] | Sequence[bool] | None = None,
        classes: Sequence[str] | None = None,
        groupby: str | None = None,
        target: str | None = None,
        baseline: Literal["domain", "global", "zero"] | ArrayLike = "domain",
        stability: int = 0,
        n_steps: int = 64,
        batch_size: int | None = None,
        write_varm: bool | str = False,
    ) -> pd.DataFrame:
        r"""Attribute predictions to genes.

        What is explained is what :meth:`predict` answers, linear members and mixture included: for
        each row, :math:`\log p_k - \log p_r` of the class :math:`k` that it is called against the
        runner-up :math:`r`. It is a function of the row's log values :math:`u`; of counts, these
        are log-normalised with the library size held fixed. The attributions of a row sum to its
        score minus that of its baseline.

        Parameters
        ----------
        adata
            Rows to explain; the model's own if ``None``. New cohorts and missing genes are treated
            as in :meth:`predict`; missing genes get 0.
        method
            ``"deeplift"`` (Shrikumar et al., ICML 2017), one backward pass, complete up to rounding
            (:class:`~domainvi.explain.Paired` has the rules). ``"integrated_gradients"``
            (Sundararajan et al., ICML 2017); rows whose sum is off by more than 5e-4 get up to 32
            times the steps.
            ``"gradient_shap"`` (Erion et al., Nature Machine Intelligence 2021): gradients at
            random points between the row and random rows of the baseline's kind; complete on
            average.
        indices
            Row numbers or a mask; all rows if ``None``.
        classes
            Explain only rows that are called one of these; of a target with values, only these
            columns.
        groupby
            Column of ``obs``: one column of the result for each of its groups, instead of one for
            each class.
        target
            ``None`` for the main phenotype; ``"latent"`` for the posterior means, before centring;
            or another phenotype of the model.
        baseline
            What rows are compared with. ``"domain"``: the mean of the class means of the row's own
            domain, by predicted class. ``"global"``: the mean of all rows. ``"zero"``: no
            expression. Or one log value a gene, in the order of the model. The last three attribute
            differences between cohorts too.
        stability
            Models to train anew, from other seeds, for the rank correlation of their attributions
            with each other and with these. Needs the model's own data.
        n_steps
            Steps of integrated gradients to begin with, or draws of gradient SHAP, a row.
        batch_size
            Rows at a time; by default as many as keep memory under a gigabyte.
        write_varm
            Write the result to ``varm`` of the data, under this name or, if ``True``, under
            ``"<labels_key>_attribution"``, ``"latent_attribution"`` or ``"<target>_attribution"``.
            Genes that the model does not know get NaN.

        Returns
        -------
        Genes x classes (or groups, or latents): the mean over the rows that are called the class
        (or are in the group); NaN where there are none. For values, which have no runner-up,
        attributions are of the distance from the baseline: those of rows below it are turned round,
        so that ups and downs do not cancel. ``.attrs`` holds plain dicts by column:

        - ``n_rows``, ``score``: rows, and mean difference of score that the column sums to;
        - ``tied_share``: the share of the rows' absolute attribution that falls on the tenth of
          genes whose variance within predicted classes the domain explains best; 0.1 would be
          chance; absent for one domain;
        - ``stability``: mean Spearman correlation over pairs of models; with ``stability`` only;

        besides ``method``, ``target``, ``baseline`` and ``incompleteness``, the largest difference
        between a row's sum and its score; absent for gradient SHAP.

        Raises
        ------
        InputError
            If an argument cannot be used, or captum is not installed.
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> genes = model.explain()
        >>> genes.shape
        (60, 4)
        >>> adata.var.loc[genes["class_0"].idxmax(), "marker_of"]
        'class_0'
        """
        return explain(
            self,
            type(self)._readout,
            adata,
            method=method,
            indices=indices,
            classes=classes,
            groupby=groupby,
            target=target,
            baseline=baseline,
            stability=stability,
            n_steps=n_steps,
            batch_size=batch_size,
            write_varm=write_varm,
        )
